use std::io::Read as _;

use galen_filestore::{DecryptingRead, FileStore, FileStoreOptions, StoreError, Verification, decrypt, encrypt};
use galen_filestore::{FileKey, Salt};
use galen_types::Hash;
use sha2::Digest as _;
use tokio::io::AsyncReadExt as _;

use crate::{SIZES, Scene, content, open, read};

#[tokio::test]
async fn every_size_comes_back_and_is_described_rightly() {
    let scene = Scene::new().await;
    for size in SIZES {
        let plaintext = content(size);
        let stored = scene.put(size).await;
        let ciphertext = read(scene.store.get(&stored.ciphertext).await.unwrap()).await.unwrap();
        assert_eq!(stored.ciphertext.as_bytes(), blake3::hash(&ciphertext).as_bytes(), "{size} bytes");
        assert_eq!(stored.ciphertext_sha256.as_bytes(), sha2::Sha256::digest(&ciphertext).as_slice());
        assert_eq!(stored.ciphertext_bytes, ciphertext.len() as u64);
        assert_eq!(Some(stored.ciphertext_bytes), galen_filestore::format::ciphertext_bytes(size as u64));
        assert_eq!(stored.plaintext_bytes, size as u64);
        assert_eq!(stored.plaintext_hash.as_bytes(), blake3::hash(&plaintext).as_bytes());

        let mut reader = scene.store.get_plaintext(&stored.ciphertext, &stored.key).await.unwrap();
        let mut decrypted = Vec::new();
        reader.read_to_end(&mut decrypted).await.unwrap();
        assert!(decrypted == plaintext, "{size} bytes");

        let stat = scene.store.stat(&stored.ciphertext).await.unwrap();
        assert_eq!(
            (stat.ciphertext_sha256, stat.ciphertext_bytes),
            (stored.ciphertext_sha256, stored.ciphertext_bytes)
        );
        let verified = scene.store.verify(&stored.ciphertext, |_, _| {}).await.unwrap();
        assert_eq!(verified, Verification::Intact { bytes: stored.ciphertext_bytes, outboard_rebuilt: false });
    }
}

#[tokio::test]
async fn any_range_comes_back_and_no_other() {
    let scene = Scene::new().await;
    let stored = scene.put(2_500_000).await;
    let whole = read(scene.store.get(&stored.ciphertext).await.unwrap()).await.unwrap();
    let size = whole.len() as u64;
    let marks = [0, 1, 1023, 16_383, 16_384, 16_385, 1 << 20, (1 << 20) + 1, 2_000_000, size - 1, size];
    for start in marks {
        for end in marks {
            let reader = scene.store.get_range(&stored.ciphertext, start..end).await;
            if start > end {
                assert!(matches!(reader, Err(StoreError::RangeInvalid { .. })));
                continue;
            }
            let reader = reader.unwrap();
            assert_eq!(reader.remaining_bytes(), end - start);
            let (from, to) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
            assert!(read(reader).await.unwrap() == whole[from..to], "{start}..{end}");
        }
    }
    let beyond = scene.store.get_range(&stored.ciphertext, 0..size + 1).await.unwrap_err();
    assert_eq!(beyond.code(), "file-range-invalid");
}

#[tokio::test]
async fn equal_files_get_different_names_but_one_commitment() {
    let scene = Scene::new().await;
    let (first, second) = (scene.put(1000).await, scene.put(1000).await);
    assert_ne!(first.ciphertext, second.ciphertext);
    let (salt, other) = (Salt::from_bytes([1; 32]), Salt::from_bytes([2; 32]));
    assert_eq!(salt.commitment(&first.plaintext_hash), salt.commitment(&second.plaintext_hash));
    assert_ne!(salt.commitment(&first.plaintext_hash), other.commitment(&first.plaintext_hash));
    let expected = Hash::commitment(&[1; 32], first.plaintext_hash.as_bytes());
    assert_eq!(salt.commitment(&first.plaintext_hash), expected);
}

#[tokio::test]
async fn a_file_encrypted_by_the_client_is_stored_as_announced() {
    let scene = Scene::new().await;
    let key = FileKey::generate().unwrap();
    let plaintext = content(300_000);
    let mut ciphertext = Vec::new();
    let digest = encrypt(&plaintext[..], &mut ciphertext, &key).await.unwrap();
    let stored = scene.store.put_encrypted(&ciphertext[..], &digest.ciphertext, digest.ciphertext_bytes).await.unwrap();
    assert_eq!(stored.ciphertext, digest.ciphertext);
    assert_eq!(stored.ciphertext_sha256, digest.ciphertext_sha256);

    let reader = scene.store.get(&digest.ciphertext).await.unwrap().into_async_read();
    let mut decrypted = Vec::new();
    let found = decrypt(reader, &mut decrypted, &key).await.unwrap();
    assert!(decrypted == plaintext);
    assert_eq!((found.bytes, found.hash), (digest.plaintext_bytes, digest.plaintext_hash));
}

#[tokio::test]
async fn an_upload_that_is_not_the_announced_one_is_refused_and_leaves_nothing() {
    let scene = Scene::new().await;
    let ciphertext = content(100_000);
    let name = Hash(*blake3::hash(&ciphertext).as_bytes());
    let put =
        async |bytes: &[u8], name: &Hash, size| scene.store.put_encrypted(bytes, name, size).await.unwrap_err().code();
    assert_eq!(put(&ciphertext, &Hash([1; 32]), 100_000).await, "file-hash-mismatch");
    assert_eq!(put(&ciphertext, &name, 99_999).await, "file-size-mismatch");
    assert_eq!(put(&ciphertext, &name, 100_001).await, "file-size-mismatch");
    assert_eq!(put(&ciphertext, &name, u64::MAX).await, "file-too-large");
    // A stream without end is stopped where it exceeds what was announced.
    let endless = tokio::io::repeat(7);
    let refused = scene.store.put_encrypted(endless, &name, 1000).await.unwrap_err();
    assert_eq!(refused.code(), "file-size-mismatch");
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(bytes::Bytes::from_static(b"some bytes")),
        Err(std::io::Error::other("the line was cut")),
    ]));
    let refused = scene.store.put(broken).await.unwrap_err();
    assert!(refused.to_string().contains("the line was cut"), "{refused}");
    assert!(scene.store.list().await.unwrap().is_empty());
    for folder in ["objects", "outboards", "temporary"] {
        assert_eq!(std::fs::read_dir(scene.folder.path().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[tokio::test]
async fn a_file_above_the_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), FileStoreOptions { max_file_bytes: 1000 }).await.unwrap();
    assert_eq!(store.put(&content(2000)[..]).await.unwrap_err().code(), "file-too-large");
    store.put(&content(1000 - 64 - 16)[..]).await.unwrap();
    assert_eq!(store.put(&content(1000 - 64 - 15)[..]).await.unwrap_err().code(), "file-too-large");
}

#[tokio::test]
async fn files_are_listed_and_deleted() {
    let scene = Scene::new().await;
    let (first, second) = (scene.put(10).await, scene.put(20).await);
    let listed = scene.store.list().await.unwrap();
    let mut expected = [(first.ciphertext, 64 + 10 + 16), (second.ciphertext, 64 + 20 + 16)];
    expected.sort();
    assert_eq!(listed.iter().map(|file| (file.ciphertext, file.bytes)).collect::<Vec<_>>(), expected);

    assert!(scene.store.delete(&first.ciphertext).await.unwrap());
    assert!(!scene.store.delete(&first.ciphertext).await.unwrap());
    assert_eq!(scene.store.get(&first.ciphertext).await.unwrap_err().code(), "file-missing");
    assert_eq!(scene.store.verify(&first.ciphertext, |_, _| {}).await.unwrap(), Verification::Missing);
    assert!(!scene.outboard(&first.ciphertext).exists());
    assert_eq!(scene.store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_folder_is_used_by_one_store_at_a_time() {
    let scene = Scene::new().await;
    let second = FileStore::open(scene.folder.path(), FileStoreOptions::default()).await.unwrap_err();
    assert_eq!(second.code(), "file-store-in-use");
    let Scene { folder, store } = scene;
    drop(store);
    open(folder.path()).await;
}

#[tokio::test]
async fn progress_rises_to_the_size() {
    let scene = Scene::new().await;
    let stored = scene.put(3_000_000).await;
    let mut seen = Vec::new();
    scene.store.verify(&stored.ciphertext, |done, size| seen.push((done, size))).await.unwrap();
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&(stored.ciphertext_bytes, stored.ciphertext_bytes)));
    assert_eq!(seen.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_blocking_reader_on_its_own_thread_gets_the_plaintext() {
    let scene = Scene::new().await;
    let stored = scene.put(3_000_000).await;
    let mut reader = scene.store.get_plaintext_blocking(&stored.ciphertext, &stored.key).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    assert!(read.await.unwrap().unwrap() == content(3_000_000));

    // A file that was changed shows as such through all the adapters.
    let path = scene.object(&stored.ciphertext);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[2_000_000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut reader = scene.store.get_plaintext_blocking(&stored.ciphertext, &stored.key).await.unwrap();
    let error = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new())).await.unwrap().unwrap_err();
    let cause = StoreError::of_io(&error).expect("the store's error is inside");
    assert!(matches!(cause, StoreError::Tampered { offset, .. } if *offset == 2_000_000 / 16_384 * 16_384), "{cause}");
}

#[test]
fn the_blocking_reader_works_on_any_stream() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = FileKey::from_bytes([3; 32]);
    for size in SIZES {
        let mut ciphertext = Vec::new();
        runtime.block_on(encrypt(&content(size)[..], &mut ciphertext, &key)).unwrap();
        let mut decrypted = Vec::new();
        DecryptingRead::new(&ciphertext[..], key.clone()).read_to_end(&mut decrypted).unwrap();
        assert!(decrypted == content(size), "{size} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_operation_runs_as_a_task_of_its_own() {
    let scene = Scene::new().await;
    let store = scene.store.clone();
    let stored = tokio::spawn(async move { store.put(&content(100)[..]).await }).await.unwrap().unwrap();
    let (store, name) = (scene.store.clone(), stored.ciphertext);
    let task = tokio::spawn(async move {
        let mut ciphertext = Vec::new();
        store.get(&name).await?.into_async_read().read_to_end(&mut ciphertext).await.unwrap();
        store.put_encrypted(&ciphertext[..], &name, ciphertext.len() as u64).await?;
        let mut again = Vec::new();
        encrypt(&ciphertext[..], &mut again, &FileKey::from_bytes([1; 32])).await?;
        decrypt(&again[..], &mut Vec::new(), &FileKey::from_bytes([1; 32])).await?;
        store.list().await?;
        store.verify(&name, |_, _| {}).await
    });
    assert!(matches!(task.await.unwrap().unwrap(), Verification::Intact { bytes: 180, .. }));
}
