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

// The device of the example `no_std`, as it stands.
#[path = "../../../examples/no_std/node.rs"]
mod node;

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

/// Where the program would start: a device that is switched on, and once more.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let mut flash = node::Flash::new();
    let first = node::run(&mut flash, &[1, 2, 3]);
    let second = node::run(&mut flash, &[10]);
    #[cfg(feature = "with-std")]
    std::println!("{first:?} {second:?}");
    loop {
        core::hint::black_box((&first, &second));
    }
}

/// The precompiled `alloc` names it; nothing unwinds here.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}
