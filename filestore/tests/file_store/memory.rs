use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};

use galen_filestore::{FileStoreOptions, Verification};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

const CHILD: &str = "GALEN_FILESTORE_MEMORY_CHILD";
const FILE_BYTES: u64 = 256 << 20;
const GROWTH_LIMIT_KIB: u64 = 100 << 10;

/// A file far larger than the memory it may take: put, verified and decrypted in a process of its own, since other
/// tests of this one take memory too.
#[test]
fn a_large_file_takes_little_memory() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::large_file_child", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    let growth: u64 = output
        .lines()
        .find_map(|line| line.split_once("memory grew by ")?.1.split_once(" KiB"))
        .expect("the child says how much it took")
        .0
        .parse()
        .unwrap();
    assert!(growth < GROWTH_LIMIT_KIB, "{growth} KiB");
}

#[test]
fn large_file_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = galen_filestore::FileStore::open(folder.path(), FileStoreOptions::default()).await.unwrap();
        let before = peak_memory_kib();
        let stored = store.put(Zeros.take(FILE_BYTES)).await.unwrap();
        let verified = store.verify(&stored.ciphertext, |_, _| {}).await.unwrap();
        assert_eq!(verified, Verification::Intact { bytes: stored.ciphertext_bytes, outboard_rebuilt: false });
        let reader = store.get(&stored.ciphertext).await.unwrap().into_async_read();
        let plaintext = galen_filestore::decrypt(reader, tokio::io::sink(), &stored.key).await.unwrap();
        assert_eq!((plaintext.bytes, plaintext.hash), (FILE_BYTES, stored.plaintext_hash));
        println!("memory grew by {} KiB", peak_memory_kib() - before);
    });
}

/// The most memory this process ever had resident (`VmHWM` of proc(5)).
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// An endless source that is always ready.
struct Zeros;

impl AsyncRead for Zeros {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let room = buffer.remaining();
        buffer.initialize_unfilled();
        buffer.advance(room);
        Poll::Ready(Ok(()))
    }
}
