//! Files between nodes.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Node, PATIENCE, connected, name, registry};
use crate::limits::FILES_PER_PEER_MAX;
use crate::{FileReader, FileSink, NetworkEvent, Refusal};

async fn next_file(node: &mut Node) -> (Bytes, FileSink) {
    node.expect("file request", |event| match event {
        NetworkEvent::File { request, sink, .. } => Some((request, sink)),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_and_raft_frames_both_arrive() {
    const PART: usize = 1 << 20;
    const PARTS: u8 = 64;
    let [mut harlem, mut hennepin] = connected(["harlem", "hennepin"]).await;

    let frames = {
        let handle = hennepin.handle.clone();
        tokio::spawn(async move {
            for number in 0..200_u32 {
                handle.send_raft(&name("harlem"), Bytes::copy_from_slice(&number.to_le_bytes())).unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
    };
    let server = tokio::spawn(async move {
        let (request, mut sink) = next_file(&mut hennepin).await;
        assert_eq!(request, "opt.csv");
        for part in 0..PARTS {
            sink.write_all(&vec![part; PART]).await.unwrap();
        }
        sink.shutdown().await.unwrap();
        hennepin
    });
    let download = {
        let handle = harlem.handle.clone();
        tokio::spawn(async move {
            let mut reader = handle.open_file(&name("hennepin"), Bytes::from_static(b"opt.csv")).await.unwrap();
            let mut part = vec![0; PART];
            for number in 0..PARTS {
                reader.read_exact(&mut part).await.unwrap();
                assert!(part.iter().all(|byte| *byte == number));
            }
            assert_eq!(reader.read(&mut part).await.unwrap(), 0, "complete");
        })
    };
    for number in 0..200_u32 {
        let frame = harlem
            .expect("raft frame", |event| match event {
                NetworkEvent::Raft { bytes, .. } => Some(bytes),
                _ => None,
            })
            .await;
        assert_eq!(frame, number.to_le_bytes().as_slice());
    }
    download.await.unwrap();
    frames.await.unwrap();
    let hennepin = server.await.unwrap();
    let bytes = PART as u64 * u64::from(PARTS);
    assert_eq!(harlem.handle.counters().file_bytes_received, bytes);
    assert_eq!(hennepin.handle.counters().file_bytes_sent, bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_may_be_empty_refused_or_broken_off() {
    let [harlem, mut hennepin] = connected(["harlem", "hennepin"]).await;
    let server = tokio::spawn(async move {
        let (_, mut empty) = next_file(&mut hennepin).await;
        empty.shutdown().await.unwrap();
        let (_, refused) = next_file(&mut hennepin).await;
        refused.refuse(Refusal::new("grant-missing", "no grant for download")).await;
        let (_, mut broken) = next_file(&mut hennepin).await;
        broken.write_all(b"half").await.unwrap();
        drop(broken);
        let (_, mut failed) = next_file(&mut hennepin).await;
        failed.write_all(b"half").await.unwrap();
        failed.refuse(Refusal::new("chunk-damaged", "chunk 7 does not match its hash")).await;
        hennepin
    });
    let open = async || harlem.handle.open_file(&name("hennepin"), Bytes::new()).await;
    let mut bytes = Vec::new();
    open().await.unwrap().read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.is_empty());
    assert_eq!(open().await.unwrap_err().code(), "grant-missing");
    for (text, code) in [("half", "transfer-broken"), ("half", "chunk-damaged")] {
        let mut bytes = Vec::new();
        let error = open().await.unwrap().read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(bytes, text.as_bytes());
        assert_eq!(FileReader::refusal_of(&error).unwrap().code(), code);
    }
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_cut_by_the_end_of_its_server_is_an_error() {
    let [harlem, mut hennepin] = connected(["harlem", "hennepin"]).await;
    let open = {
        let handle = harlem.handle.clone();
        tokio::spawn(async move { handle.open_file(&name("hennepin"), Bytes::new()).await.unwrap() })
    };
    let (_, mut sink) = next_file(&mut hennepin).await;
    sink.write_all(b"half").await.unwrap();
    let mut reader = open.await.unwrap();
    let mut half = [0; 4];
    reader.read_exact(&mut half).await.unwrap();
    hennepin.handle.shutdown().await;
    assert!(reader.read_to_end(&mut Vec::new()).await.is_err(), "a broken connection is no end of file");
    assert!(sink.write_all(&vec![0; 1 << 20]).await.is_err(), "and its writer learns of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_at_once_are_bounded_and_places_come_back() {
    let [harlem, mut hennepin] = connected(["harlem", "hennepin"]).await;
    let mut opening = Vec::new();
    let mut sinks = Vec::new();
    for _ in 0..FILES_PER_PEER_MAX {
        let handle = harlem.handle.clone();
        opening.push(tokio::spawn(async move { handle.open_file(&name("hennepin"), Bytes::new()).await }));
        sinks.push(next_file(&mut hennepin).await.1);
    }
    let error = harlem.handle.open_file(&name("hennepin"), Bytes::new()).await.unwrap_err();
    assert_eq!(error.code(), "busy");
    for (sink, opened) in sinks.iter_mut().zip(opening) {
        sink.write_all(b"x").await.unwrap();
        sink.shutdown().await.unwrap();
        let mut bytes = Vec::new();
        opened.await.unwrap().unwrap().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"x");
    }
    let session = harlem.handle.shared.session(&name("hennepin")).unwrap();
    harlem.until("free again", |_| session.files_out.available_permits() == FILES_PER_PEER_MAX).await;
}

/// Asks again until the first part of a file is there: what is asked while connections change may fail.
async fn first_part(node: &Node, from: &str) -> FileReader {
    let ask = async {
        loop {
            if let Ok(mut reader) = node.handle.open_file(&name(from), Bytes::new()).await
                && reader.read_exact(&mut [0; 4]).await.is_ok()
            {
                return reader;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ask).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_flow_again_when_a_removed_peer_is_back() {
    let [harlem, mut hennepin] = connected(["harlem", "hennepin"]).await;
    let both = registry(&[&harlem, &hennepin]);
    let server = tokio::spawn(async move {
        let mut sinks = Vec::new();
        loop {
            let (_, mut sink) = next_file(&mut hennepin).await;
            let _ = sink.write_all(b"part").await;
            sinks.push(sink);
        }
    });
    for _ in 0..2 {
        let mut reader = first_part(&harlem, "hennepin").await;
        harlem.handle.set_registry(registry(&[&harlem])).await;
        assert!(reader.read(&mut [0; 4]).await.is_err(), "removed while it was sending");
        harlem.handle.set_registry(both.clone()).await;
    }
    first_part(&harlem, "hennepin").await;
    server.abort();
}
