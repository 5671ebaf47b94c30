//! The core in a program without a standard library, linked without the C library's start files: whatever of `std` the core
//! or one of its dependencies pulled in would bring a second panic handler, and fail the build. It is linked, not run.
//!
//! The allocator hands out pieces of a fixed block and takes none back. This is the one place of the repository where
//! `unsafe` code is needed: Rust asks for it wherever an allocator is made, and this package is part of nothing.
#![no_std]
#![no_main]

extern crate alloc;
#[cfg(feature = "with-std")]
extern crate std;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use raft_core::{
    Boot, Bootstrap, Config, Identity, Incarnation, Membership, Message, Node, NodeId, Pair, Recovered,
    RequestId, Server, Suffrage, bootstrap, decode_packet, encode_packet,
};

const BYTES: usize = 1 << 20;

struct Block {
    memory: UnsafeCell<[u8; BYTES]>,
    used: AtomicUsize,
}

// SAFETY: pieces of the memory are handed out by an atomic counter, so no two share a byte.
unsafe impl Sync for Block {}

// SAFETY: every piece lies within the block, is aligned, and is handed out once.
unsafe impl GlobalAlloc for Block {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let wanted = layout.size() + layout.align();
        let from = self.used.fetch_add(wanted, Ordering::Relaxed);
        if BYTES - wanted.min(BYTES) < from {
            return core::ptr::null_mut();
        }
        let piece = self.memory.get().cast::<u8>().wrapping_add(from);
        piece.wrapping_add(piece.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Block = Block { memory: UnsafeCell::new([0; BYTES]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Where the program would start: a single server founds a cluster, elects itself and commits a command.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let committed = single_server();
    #[cfg(feature = "with-std")]
    std::println!("{committed:?}");
    loop {
        core::hint::black_box(committed);
    }
}

fn single_server() -> Option<u64> {
    let pair = Pair { id: NodeId::new(1)?, incarnation: Incarnation::new(1) };
    let server =
        Server { pair, suffrage: Suffrage::Voter, raft_address: "a".into(), client_address: "".into() };
    let founding = Membership::new(alloc::vec![server]).ok()?;
    let mut disk = Recovered::default();
    if let Ok(Bootstrap::Write(write)) = bootstrap(&disk, &founding, pair) {
        disk.absorb(&write).ok()?;
    }
    let identity = Identity { cluster: founding.cluster_id(), pair, boot: Boot::new(1) };
    let mut node = Node::new(Config::default(), identity, disk).ok()?;
    let commands = bytes::Bytes::from_static(b"x").into();
    for message in [Message::Tick { elapsed: 100 }, Message::Propose { id: RequestId::new(1), commands }] {
        let ready = node.step(message);
        for packet in ready.send {
            decode_packet(encode_packet(&packet).into()).ok()?;
        }
        if let Some(write) = ready.write {
            node.step(Message::Synced(write.number));
        }
    }
    Some(node.status().commit.raw())
}

/// The precompiled `alloc` names it; nothing unwinds here.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}
