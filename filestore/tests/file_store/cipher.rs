use galen_filestore::format::{CHUNK_BYTES, HEADER_BYTES, TAG_BYTES};
use galen_filestore::{CipherError, FileKey, decrypt, encrypt};

use crate::content;

const SEALED: usize = CHUNK_BYTES + TAG_BYTES;

fn key() -> FileKey {
    FileKey::from_bytes([8; 32])
}

async fn encrypted(size: usize) -> Vec<u8> {
    let mut ciphertext = Vec::new();
    encrypt(&content(size)[..], &mut ciphertext, &key()).await.unwrap();
    ciphertext
}

/// How decrypting fails, and what was released before it did.
async fn failure(ciphertext: &[u8], key: &FileKey) -> (CipherError, Vec<u8>) {
    let mut released = Vec::new();
    let error = decrypt(ciphertext, &mut released, key).await.unwrap_err();
    (error, released)
}

#[tokio::test]
async fn a_wrong_key_is_told_from_damage() {
    let ciphertext = encrypted(100).await;
    let (error, released) = failure(&ciphertext, &FileKey::from_bytes([9; 32])).await;
    assert_eq!((error.code(), released.len()), ("file-wrong-key", 0));
}

#[tokio::test]
async fn each_flipped_bit_of_a_small_file_is_found() {
    let ciphertext = encrypted(20).await;
    for bit in 0..ciphertext.len() * 8 {
        let mut damaged = ciphertext.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (error, released) = failure(&damaged, &key()).await;
        let expected = match bit / 8 {
            0..8 | 27..32 => "file-not-encrypted",
            // The nonce prefix is bound to the chunks only.
            8..27 => "file-chunk-damaged",
            32..64 => "file-wrong-key",
            _ => "file-chunk-damaged",
        };
        assert_eq!((error.code(), released.len()), (expected, 0), "bit {bit}");
    }
}

#[tokio::test]
async fn each_truncation_is_found_and_only_whole_chunks_are_released() {
    let ciphertext = encrypted(2 * CHUNK_BYTES + 10).await;
    let (second, third) = (HEADER_BYTES + SEALED, HEADER_BYTES + 2 * SEALED);
    let lengths = [0, 1, 63, 64, 65, 79, 80, second - 1, second, second + 1, third, third + 1, third + 25];
    for length in lengths {
        let (error, released) = failure(&ciphertext[..length], &key()).await;
        let whole_chunks = length.saturating_sub(HEADER_BYTES + 1) / SEALED;
        assert!(content(2 * CHUNK_BYTES + 10).starts_with(&released));
        assert_eq!(released.len(), whole_chunks * CHUNK_BYTES, "{length} bytes: {error}");
    }
    // At a chunk's end it is certain that the rest is missing.
    for length in [0, 63, second, third] {
        let (error, _) = failure(&ciphertext[..length], &key()).await;
        assert!(matches!(error, CipherError::Truncated { bytes } if bytes == length as u64), "{length}: {error}");
    }
}

#[tokio::test]
async fn appended_bytes_and_moved_chunks_are_found() {
    let ciphertext = encrypted(3 * CHUNK_BYTES).await;
    let (header, chunks) = ciphertext.split_at(HEADER_BYTES);
    let chunks: Vec<&[u8]> = chunks.chunks(SEALED).collect();
    let join = |order: &[usize]| {
        let mut bytes = header.to_vec();
        order.iter().for_each(|index| bytes.extend_from_slice(chunks[*index]));
        bytes
    };
    assert_eq!(join(&[0, 1, 2]), ciphertext);
    for (order, bad) in
        [(&[1, 0, 2][..], 0), (&[0, 2, 1], 1), (&[0, 2], 1), (&[0, 0, 1, 2], 1), (&[0, 1, 2, 2], 2), (&[1, 2], 0)]
    {
        let (error, released) = failure(&join(order), &key()).await;
        let offset = (HEADER_BYTES + bad * SEALED) as u64;
        assert!(matches!(error, CipherError::Damaged { offset: found } if found == offset), "{order:?}: {error}");
        assert_eq!(released.len(), bad * CHUNK_BYTES);
    }
    for extra in [1, 16, 17, SEALED] {
        let longer = [&ciphertext[..], &vec![0; extra]].concat();
        assert_eq!(failure(&longer, &key()).await.0.code(), "file-chunk-damaged", "{extra} more bytes");
    }
    // A chunk of another file under the same key does not fit either: the nonce prefix differs.
    let other = encrypted(3 * CHUNK_BYTES).await;
    let mut mixed = ciphertext.clone();
    mixed[HEADER_BYTES + SEALED..HEADER_BYTES + 2 * SEALED]
        .copy_from_slice(&other[HEADER_BYTES + SEALED..HEADER_BYTES + 2 * SEALED]);
    assert_eq!(failure(&mixed, &key()).await.0.code(), "file-chunk-damaged");
}

#[tokio::test]
async fn bytes_of_other_kinds_are_refused() {
    for bytes in [&b""[..], b"a,b\n1,2\n", &[0; 64], &[0xff; 100_000], b"galenf01"] {
        let (error, released) = failure(bytes, &key()).await;
        assert!(matches!(error.code(), "file-not-encrypted" | "file-truncated"), "{error}");
        assert!(released.is_empty());
    }
}

#[tokio::test]
async fn after_an_error_a_reader_releases_nothing_more() {
    use tokio::io::AsyncReadExt as _;
    let mut ciphertext = encrypted(3 * CHUNK_BYTES).await;
    ciphertext[HEADER_BYTES + SEALED + 5] ^= 1;
    let mut reader = galen_filestore::DecryptingReader::new(&ciphertext[..], key());
    let mut released = Vec::new();
    assert!(reader.read_to_end(&mut released).await.is_err());
    assert_eq!(released.len(), CHUNK_BYTES);
    for _ in 0..3 {
        assert!(reader.read(&mut [0; 10]).await.is_err());
    }
}

#[test]
fn keys_are_not_printed() {
    let key = FileKey::from_bytes([0xab; 32]);
    assert_eq!(format!("{key:?}"), "FileKey(secret)");
    assert_eq!(format!("{:?}", galen_filestore::Salt::from_bytes([1; 32])), "Salt(secret)");
}
