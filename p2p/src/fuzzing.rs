//! Entry points for fuzzing: what this crate reads from peers' bytes, and examples of it. Only with the feature
//! `fuzzing`, which no program turns on.

use futures::executor::block_on;
use futures::io::Cursor;
use galen_types::member::NodeRole;
use galen_types::{Encoding, Hash};

use crate::frame::{read_frame, write_frame};
use crate::handshake::{Hello, Opening, Plane, Verdict, receive, send};
use crate::limits::FILE_FRAME_BYTES_MAX;
use crate::refusal::{REFUSAL_BYTES_MAX, Refusal};

/// Bytes as a peer sends them, by kind: 0 and 1 are messages of the handshake in their frames, 2 is a stream of frames, 3
/// a refusal.
#[must_use]
pub fn examples() -> Vec<(u8, Vec<u8>)> {
    let hello = Hello {
        genesis: Hash([7; 32]),
        chain: "opt".to_owned(),
        node: "node-1.harlem".to_owned(),
        role: NodeRole::Voter,
        software_version: "0.1.0".to_owned(),
        plane: Plane::Control,
        bulk_port: 7102,
        incarnation: 42,
        lineage: Hash::ZERO,
        clock_ms: 1_790_000_000_000,
    };
    let refusal = Refusal::new("wrong-genesis", "one of the two nodes was given the genesis file of another chain");
    let mut frames = Vec::new();
    for body in [b"".as_slice(), b"abc", &[7; 300]] {
        // A vector takes everything.
        let _written = block_on(write_frame(&mut frames, body));
    }
    vec![
        (0, sent(&Opening::Hello(hello))),
        (0, sent(&Opening::Refused(refusal.clone()))),
        (1, sent(&Verdict::Accepted)),
        (1, sent(&Verdict::Refused(refusal.clone()))),
        (2, frames),
        (3, refusal.encode()),
    ]
}

fn sent<T: Encoding + Sync>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A vector takes everything.
    let _written = block_on(send(&mut bytes, message));
    bytes
}

/// Reads bytes as the node does, and writes what was read.
///
/// # Errors
/// The code of the refusal.
pub fn reread(kind: u8, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match kind {
        0 => message::<Opening>(bytes),
        1 => message::<Verdict>(bytes),
        2 => frames(bytes),
        3 => {
            let refusal = Refusal::read(bytes);
            if refusal.encode().len() > REFUSAL_BYTES_MAX {
                Err("a refusal without bounds".to_owned())
            } else {
                Ok(bytes.to_vec())
            }
        }
        _ => Err("unknown".to_owned()),
    }
}

fn message<T: Encoding + Sync>(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = Cursor::new(bytes.to_vec());
    let read: T = in_runtime(receive(&mut stream)).map_err(|error| error.code().to_owned())?;
    let rest = usize::try_from(stream.position()).unwrap_or(usize::MAX);
    let mut again = sent(&read);
    again.extend_from_slice(bytes.get(rest..).unwrap_or_default());
    Ok(again)
}

fn frames(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = Cursor::new(bytes.to_vec());
    let mut again = Vec::new();
    in_runtime(async {
        while let Some(frame) = read_frame(&mut stream, FILE_FRAME_BYTES_MAX).await.map_err(|_| "frame")? {
            write_frame(&mut again, &frame).await.map_err(|_| "frame")?;
        }
        Ok::<_, &str>(())
    })?;
    Ok(again)
}

/// Frames have deadlines, and deadlines need a runtime's clock.
fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Option<tokio::runtime::Runtime> =
            tokio::runtime::Builder::new_current_thread().enable_time().build().ok();
    }
    RUNTIME.with(|runtime| match runtime {
        Some(runtime) => runtime.block_on(future),
        None => block_on(future),
    })
}
