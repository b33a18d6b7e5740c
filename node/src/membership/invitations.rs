//! What shows this node that an applicant was invited by an administrator of its member. A token is a time and a proof that
//! only this node can make, so that none is stored: with a new secret all that were handed out are void.

use galen_types::application::InvitationToken;
use galen_types::{Hash, Timestamp};

use crate::files::documents::Documents;

/// The secret's document.
pub(super) const SECRET: &str = "invitations.secret";
/// How long a token is good for: as long as a vote usually takes, 14 days. In milliseconds.
const GOOD_FOR_MS: u64 = 14 * 24 * 3_600_000;

/// Makes and checks tokens.
pub(super) struct Invitations {
    secret: [u8; 32],
}

impl Invitations {
    /// With the folder's secret, which is drawn at the first time.
    pub(super) fn open(documents: &Documents) -> std::io::Result<Self> {
        if let Some(stored) = documents.read(SECRET)? {
            let secret = <[u8; 32]>::try_from(stored.as_slice());
            // A damaged one is replaced: invitations can be handed out again.
            if let Ok(secret) = secret {
                return Ok(Self { secret });
            }
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(std::io::Error::other)?;
        documents.write(SECRET, &secret)?;
        Ok(Self { secret })
    }

    pub(super) fn make(&self, now: Timestamp) -> InvitationToken {
        self.proven(now.plus_ms(GOOD_FOR_MS))
    }

    /// Whether this node made it, and it is still good.
    pub(super) fn admits(&self, token: &InvitationToken, now: Timestamp) -> bool {
        let [time, ..] = token.0.as_chunks::<8>().0 else { return false };
        let until = Timestamp(u64::from_be_bytes(*time));
        let expected = self.proven(until);
        // Looks at every byte, so that the time taken tells nothing.
        let differs = expected.0.iter().zip(token.0).fold(0, |so_far, (one, other)| so_far | (one ^ other));
        differs == 0 && now <= until
    }

    fn proven(&self, until: Timestamp) -> InvitationToken {
        let time = until.0.to_be_bytes();
        let proof = Hash::commitment(&self.secret, &time);
        let mut token = [0; 24];
        token[..8].copy_from_slice(&time);
        token[8..].copy_from_slice(&proof.0[..16]);
        InvitationToken(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_at_its_node_for_two_weeks() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Documents::open(folder.path().join(name), 64).unwrap();
        let own = Invitations::open(&open("own")).unwrap();
        let now = Timestamp(1_000_000);
        let token = own.make(now);
        assert!(Invitations::open(&open("own")).unwrap().admits(&token, now), "also after a restart");
        assert!(own.admits(&token, now.plus_ms(GOOD_FOR_MS)));
        assert!(!own.admits(&token, now.plus_ms(GOOD_FOR_MS + 1)));
        assert!(!Invitations::open(&open("other")).unwrap().admits(&token, now));
        for place in 0..24 {
            let mut forged = token;
            forged.0[place] ^= 1;
            assert!(!own.admits(&forged, now), "byte {place}");
        }
    }
}
