use std::fs;
use std::path::Path;

use galen_filestore::{StoreError, Verification};

use crate::{Scene, read};

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

async fn verify(scene: &Scene, name: &galen_types::Hash) -> Verification {
    scene.store.verify(name, |_, _| {}).await.unwrap()
}

#[tokio::test]
async fn a_flipped_bit_is_found_in_its_group_and_nothing_of_the_group_is_released() {
    let scene = Scene::new().await;
    let stored = scene.put(2_500_000).await;
    let path = scene.object(&stored.ciphertext);
    let good = fs::read(&path).unwrap();
    for position in [0, 40, 64, 16_383, 16_384, 65_600, 1_048_575, 1_048_576, 2_222_222, good.len() - 1] {
        change(&path, |bytes| bytes[position] ^= 0x10);
        let group = position / 16_384 * 16_384;
        let offset = group as u64;
        assert_eq!(verify(&scene, &stored.ciphertext).await, Verification::Tampered { offset }, "byte {position}");

        let mut reader = scene.store.get(&stored.ciphertext).await.unwrap();
        let mut released = Vec::new();
        let error = loop {
            match reader.next().await {
                Ok(piece) => released.extend_from_slice(&piece.expect("the error comes before the end")),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Tampered { offset: found, .. } if found == offset), "{error}");
        assert!(released.len() <= group && good.starts_with(&released));
        assert!(reader.next().await.unwrap().is_none(), "an error ends the reading");

        // A range elsewhere is still good, one that touches the group is not.
        let size = good.len() as u64;
        let elsewhere = if group == 0 { 16_384..size } else { 0..offset };
        let part = read(scene.store.get_range(&stored.ciphertext, elsewhere.clone()).await.unwrap()).await.unwrap();
        let (from, to) = (usize::try_from(elsewhere.start).unwrap(), usize::try_from(elsewhere.end).unwrap());
        assert!(part == good[from..to]);
        let touching = scene.store.get_range(&stored.ciphertext, offset..offset + 1).await.unwrap();
        assert_eq!(read(touching).await.unwrap_err().code(), "file-tampered");
        fs::write(&path, &good).unwrap();
    }
    assert!(matches!(verify(&scene, &stored.ciphertext).await, Verification::Intact { .. }));
}

#[tokio::test]
async fn each_flipped_byte_of_a_small_file_is_found() {
    let scene = Scene::new().await;
    let stored = scene.put(100).await;
    let path = scene.object(&stored.ciphertext);
    let good = fs::read(&path).unwrap();
    for position in 0..good.len() {
        change(&path, |bytes| bytes[position] ^= 1);
        assert_eq!(verify(&scene, &stored.ciphertext).await, Verification::Tampered { offset: 0 }, "byte {position}");
        fs::write(&path, &good).unwrap();
    }
}

#[tokio::test]
async fn cut_extended_swapped_and_emptied_files_are_found() {
    let scene = Scene::new().await;
    let stored = scene.put(300_000).await;
    let other = scene.put(300_000).await;
    let path = scene.object(&stored.ciphertext);
    let good = fs::read(&path).unwrap();
    let foreign = fs::read(scene.object(&other.ciphertext)).unwrap();
    let swap = |bytes: &mut Vec<u8>| {
        let (first, second) = bytes.split_at_mut(65_536);
        first[16_384..32_768].swap_with_slice(&mut second[16_384..32_768]);
    };
    let changes: Vec<(&str, Vec<u8>)> = vec![
        ("cut by one", good[..good.len() - 1].to_vec()),
        ("cut at a group", good[..16 * 16_384].to_vec()),
        ("cut to one byte", good[..1].to_vec()),
        ("emptied", Vec::new()),
        ("one more", [&good[..], &[0]].concat()),
        ("doubled", [&good[..], &good[..]].concat()),
        ("another file", foreign),
        ("groups swapped", {
            let mut bytes = good.clone();
            swap(&mut bytes);
            bytes
        }),
    ];
    for (what, bytes) in changes {
        fs::write(&path, bytes).unwrap();
        let found = verify(&scene, &stored.ciphertext).await;
        assert!(matches!(found, Verification::Tampered { .. }), "{what}: {found:?}");
        let read = match scene.store.get(&stored.ciphertext).await {
            Ok(reader) => read(reader).await,
            Err(error) => Err(error),
        };
        assert_eq!(read.unwrap_err().code(), "file-tampered", "{what}");
    }
    // Putting the right bytes again heals the file.
    let size = good.len() as u64;
    scene.store.put_encrypted(&good[..], &stored.ciphertext, size).await.unwrap();
    assert!(matches!(verify(&scene, &stored.ciphertext).await, Verification::Intact { .. }));
}

#[tokio::test]
async fn a_file_cut_while_it_is_read_is_found() {
    let scene = Scene::new().await;
    let stored = scene.put(2_500_000).await;
    let mut reader = scene.store.get(&stored.ciphertext).await.unwrap();
    reader.next().await.unwrap().unwrap();
    change(&scene.object(&stored.ciphertext), |bytes| bytes.truncate(1_500_000));
    assert_eq!(read(reader).await.unwrap_err().code(), "file-tampered");
}

#[tokio::test]
async fn a_damaged_hash_tree_is_refused_by_reads_and_made_anew_by_verify() {
    let scene = Scene::new().await;
    let stored = scene.put(300_000).await;
    let path = scene.outboard(&stored.ciphertext);
    let good = fs::read(&path).unwrap();
    assert_eq!(good.len(), 18 * 64 + 80);
    let mut damages: Vec<(String, Option<Vec<u8>>)> = vec![
        ("deleted".into(), None),
        ("emptied".into(), Some(Vec::new())),
        ("cut by one".into(), Some(good[..good.len() - 1].to_vec())),
        ("cut by a pair".into(), Some(good[64..].to_vec())),
        ("one more".into(), Some([&good[..], &[0]].concat())),
    ];
    for position in (0..good.len()).step_by(31) {
        let mut bytes = good.clone();
        bytes[position] ^= 0x80;
        damages.push((format!("byte {position}"), Some(bytes)));
    }
    for (what, bytes) in damages {
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let read = match scene.store.get(&stored.ciphertext).await {
            Ok(reader) => read(reader).await,
            Err(error) => Err(error),
        };
        assert_eq!(read.unwrap_err().code(), "file-outboard-damaged", "{what}");
        let bytes = stored.ciphertext_bytes;
        let rebuilt = Verification::Intact { bytes, outboard_rebuilt: true };
        assert_eq!(verify(&scene, &stored.ciphertext).await, rebuilt, "{what}");
        assert!(fs::read(&path).unwrap() == good, "{what}");
    }
}

#[tokio::test]
async fn a_file_changed_together_with_its_tree_is_found() {
    let scene = Scene::new().await;
    let stored = scene.put(300_000).await;
    let forged = scene.put(300_000).await;
    // All of another file's bytes, with its own sound tree, under this name.
    fs::copy(scene.object(&forged.ciphertext), scene.object(&stored.ciphertext)).unwrap();
    fs::copy(scene.outboard(&forged.ciphertext), scene.outboard(&stored.ciphertext)).unwrap();
    assert!(scene.store.get(&stored.ciphertext).await.is_err());
    assert_eq!(verify(&scene, &stored.ciphertext).await, Verification::Tampered { offset: 0 });
    // The attempt to make the tree anew left nothing behind.
    assert_eq!(fs::read_dir(scene.folder.path().join("temporary")).unwrap().count(), 0);
}
