//! The network between servers of one process, which can be cut. Every server is reached through a listener that passes on what comes,
//! unless it is from or for the server that is cut off.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a hello is, and where in it the id of the caller stands, by its documented layout.
const HELLO_BYTES: usize = 336;
const CALLER: std::ops::Range<usize> = 28..36;

/// The wires of a cluster. Dropped, all are cut.
pub(crate) struct Wires {
    cut_off: watch::Sender<Option<u64>>,
}

impl Wires {
    pub(crate) fn new() -> Self {
        Wires { cut_off: watch::Sender::new(None) }
    }

    /// From now on server `to`, which listens at `listens`, can be reached at the address that is returned.
    pub(crate) fn lead_to(&self, to: u64, listens: SocketAddr) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens").to_string();
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        let cut_off = self.cut_off.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(wire(near, to, listens, cut_off.clone()));
            }
        });
        address
    }

    /// Cuts this server off from all others, in both directions; `None`: nobody any more.
    pub(crate) fn cut_off(&self, id: Option<u64>) {
        self.cut_off.send_replace(id);
    }
}

/// Passes one connection on until it ends, or is cut.
async fn wire(
    mut near: TcpStream,
    to: u64,
    listens: SocketAddr,
    mut cut_off: watch::Receiver<Option<u64>>,
) -> io::Result<()> {
    let mut hello = [0; HELLO_BYTES];
    near.read_exact(&mut hello).await?;
    let from = u64::from_le_bytes(hello[CALLER].try_into().expect("8 bytes"));
    let is_cut = |id: &Option<u64>| id.is_some_and(|id| id == from || id == to);
    let pass_on = async {
        let mut far = TcpStream::connect(listens).await?;
        far.write_all(&hello).await?;
        copy_bidirectional(&mut near, &mut far).await
    };
    tokio::select! {
        biased;
        _ = cut_off.wait_for(is_cut) => Ok(()),
        ended = pass_on => ended.map(|_| ()),
    }
}
