//! Frames that nobody honest made.

use galen_chain::sync::SyncRequest;
use galen_consensus::RaftId;
use galen_types::{Certificate, DecodedTransaction, Encoding, Hash, HeaderSignature, Signature};

use crate::cluster::Cluster;
use crate::consortium::key;
use crate::network::Letter;
use crate::node::Frame;

impl Cluster {
    /// What an evil voter says instead of what it computed.
    pub(crate) fn forge(&self, place: usize, frame: Frame) -> Frame {
        match frame {
            Frame::Signature(HeaderSignature { height, voter, .. }) => {
                let secret = key(&self.nodes[place].name.to_string());
                let view = self.nodes[place].executor().ledger().view().unwrap();
                let set = view.header(height).unwrap().unwrap().voter_set;
                Frame::Signature(HeaderSignature::sign(
                    &self.genesis.hash(),
                    &set,
                    height,
                    Hash([6; 32]),
                    voter,
                    &secret,
                ))
            }
            other => other,
        }
    }

    /// A peer that does not order, the observer, says what nobody honest says.
    pub(crate) fn lie(&mut self) {
        let from = self.observer();
        let to = self.random.below(self.nodes.len());
        if to == from {
            return;
        }
        let noise: Vec<u8> = (0..self.random.below(200)).map(|_| self.random.draw() as u8).collect();
        // A frame that somebody honest sent to somebody else, altered.
        let heard = self.oracle.heard(self.random.draw());
        let frame = match self.random.below(8) {
            0 => Frame::Raft(RaftId(self.random.draw() % 64), noise.into()),
            1 => Frame::Raft(RaftId(1_000), heard.unwrap_or_default().into()),
            2 => Frame::Answer(noise, 0),
            3 => {
                let ledger = self.nodes.iter().find(|node| node.is_running()).map(|node| node.executor().ledger());
                let Some(ledger) = ledger else { return };
                let request = SyncRequest::Blocks { from: 1 };
                let answer = galen_chain::sync::SyncAnswer::to_request(&request, ledger).unwrap();
                let mut bytes = answer.encode();
                let place = self.random.below(bytes.len());
                bytes[place] ^= 1 << self.random.below(8);
                Frame::Answer(bytes, 0)
            }
            4 => Frame::Transactions(vec![noise.into()]),
            5 => {
                let Some(forged) = self.forged_transaction() else { return };
                Frame::Transactions(vec![forged.into()])
            }
            6 => {
                let Some(forged) = self.forged_certificate() else { return };
                Frame::Certificate(forged)
            }
            _ => {
                let voter = self.nodes[0].name.clone();
                let height = 1 + self.random.draw() % 1_000;
                let secret = key("somebody else");
                Frame::Signature(HeaderSignature::sign(
                    &self.genesis.hash(),
                    &self.genesis.voter_set().hash(),
                    height,
                    Hash([6; 32]),
                    voter,
                    &secret,
                ))
            }
        };
        self.count("hostile frame");
        let (starts, sent_by) = (self.nodes[to].starts, self.nodes[from].starts);
        self.network.put(self.step, Letter { from, to, frame, starts, sent_by, hostile: true });
    }

    /// A transaction that somebody made, under a signature that nobody made: its id is the same.
    fn forged_transaction(&mut self) -> Option<Vec<u8>> {
        let pick = self.random.below(self.submitted.len());
        let bytes = self.submitted.values().nth(pick)?.clone();
        let decoded = DecodedTransaction::decode(bytes.clone(), 1 << 20).unwrap();
        let Signature::Ed25519(signature) = decoded.signature;
        let at = bytes.windows(signature.len()).rposition(|part| part == signature)?;
        let mut forged = bytes;
        forged[at + self.random.below(signature.len())] ^= 1 << self.random.below(8);
        Some(forged)
    }

    /// A certificate that somebody holds, altered: for another header, with a signature too few, or a false one.
    fn forged_certificate(&mut self) -> Option<Certificate> {
        let node =
            self.nodes.iter().filter(|node| node.is_running()).max_by_key(|node| node.executor().tip().height)?;
        let ledger = node.executor().ledger();
        let view = ledger.view().unwrap();
        // The heights that are not certified yet are those where a forged one could do harm.
        let header = view.header(view.height()).unwrap()?;
        let mut certificate = view.certificate_covering(ledger.certified_height().max(1)).unwrap()?;
        drop(view);
        match self.random.below(3) {
            0 => {
                (certificate.height, certificate.header) = (header.height, header.hash());
            }
            1 => certificate.header = Hash([6; 32]),
            _ => {
                certificate.signatures.pop();
                (certificate.height, certificate.header) = (header.height, header.hash());
            }
        }
        Some(certificate)
    }
}
