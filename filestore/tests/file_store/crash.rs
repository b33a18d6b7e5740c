use std::fs;

use crate::{Scene, open, read};

#[tokio::test]
async fn what_a_crash_leaves_behind_is_deleted_at_open_and_nothing_else() {
    let scene = Scene::new().await;
    let kept = scene.put(100_000).await;
    let torn = scene.put(50_000).await;
    let Scene { folder, store } = scene;
    drop(store);
    let path = folder.path();
    // A crash while parts were written, between the last part and the first rename, and between the two renames.
    fs::write(path.join("temporary/5f2c#1"), b"half a par").unwrap();
    fs::write(path.join("temporary/5f2d"), b"whole, unnamed").unwrap();
    fs::write(path.join("objects").join(format!("{}#1", torn.ciphertext)), b"half").unwrap();
    fs::remove_file(path.join("objects").join(torn.ciphertext.to_string())).unwrap();

    let store = open(path).await;
    assert_eq!(fs::read_dir(path.join("temporary")).unwrap().count(), 0);
    for name in ["objects", "outboards"] {
        let left: Vec<_> = fs::read_dir(path.join(name)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [kept.ciphertext.to_string().as_str()], "{name}");
    }
    assert_eq!(store.get(&torn.ciphertext).await.unwrap_err().code(), "file-missing");
    let whole = read(store.get(&kept.ciphertext).await.unwrap()).await.unwrap();
    assert_eq!(whole.len() as u64, kept.ciphertext_bytes);
}

#[tokio::test]
async fn a_put_that_is_given_up_leaves_no_file() {
    let scene = Scene::new().await;
    // A source that brings something and then never goes on; the caller goes away.
    let (mut sender, receiver) = tokio::io::duplex(1 << 16);
    tokio::io::AsyncWriteExt::write_all(&mut sender, &[1; 60_000]).await.unwrap();
    let put = scene.store.put(receiver);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(20), put).await.is_err());
    assert!(scene.store.list().await.unwrap().is_empty());
    let Scene { folder, store } = scene;
    drop(store);
    open(folder.path()).await;
    assert_eq!(fs::read_dir(folder.path().join("temporary")).unwrap().count(), 0);
}
