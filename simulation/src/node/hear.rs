//! What comes in.

use super::*;

impl Node {
    /// A linearizable read of a client; none where this node cannot ask for it.
    pub(crate) fn read(&mut self) -> Option<ReadTicket> {
        let running = self.running.as_mut().filter(|running| running.speaks)?;
        running.ordering.as_mut()?.orderer.read().ok()
    }

    /// The client waits no longer.
    pub(crate) fn forget_read(&mut self, ticket: ReadTicket) {
        if let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut()) {
            ordering.orderer.forget_read(ticket);
        }
    }

    /// Transactions of a client or a peer: judged by signature, then into the mempool.
    pub(crate) fn submit(&mut self, transactions: Vec<Vec<u8>>) {
        let Some(running) = &mut self.running else { return };
        let Some(ordering) = &mut running.ordering else {
            return;
        };
        let state = LedgerState(running.executor.ledger().view().unwrap());
        let candidates = transactions
            .into_iter()
            .map(|bytes| DecodedTransaction::decode(bytes, 1 << 20).unwrap())
            .map(|decoded| {
                let key = galen_contracts::signer_key(&state, &decoded.body.signer).unwrap();
                (decoded, key)
            })
            .collect();
        for admitted in running.verified.admit(candidates).into_iter().flatten() {
            self.taken.insert(admitted.decoded().id);
            ordering.orderer.submit(admitted).unwrap();
        }
    }

    pub(crate) fn tick(&mut self, now: Timestamp, step: u64) {
        let now = self.clock(now);
        self.ask_about_itself(step);
        if self.speaks()
            && let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut())
        {
            ordering.orderer.tick(now).unwrap();
        }
        self.retire();
    }

    /// Takes a frame from another node.
    pub(crate) fn take(&mut self, from: usize, frame: Frame) {
        let Some(running) = &mut self.running else { return };
        match frame {
            Frame::Raft(number, bytes) => {
                let Some(ordering) = running.ordering.as_mut().filter(|_| running.speaks) else { return };
                match ordering.orderer.message(number, bytes) {
                    Err(MessageError::Refused(refusal)) => assert!(!refusal.is_suspicious(), "{refusal}"),
                    outcome => outcome.unwrap(),
                }
            }
            Frame::Transactions(transactions) => {
                self.submit(transactions.into_iter().map(|bytes| bytes.to_vec()).collect());
            }
            Frame::Signature(signature) => self.signature(signature),
            Frame::Certificate(certificate) => {
                let taken = running.executor.add_certificate(certificate).unwrap();
                self.certification(taken);
            }
            Frame::Ask(request, starts) => {
                let answer = SyncAnswer::to_request(&request, running.executor.ledger()).unwrap();
                self.out.push((To::Place(from), Frame::Answer(galen_types::Encoding::encode(&answer), starts)));
            }
            Frame::Question(question, starts) => {
                let answer = self.knowledge_of(&self.names[from], &question);
                self.out.push((To::Place(from), Frame::Knowledge(Box::new(answer), starts)));
            }
            Frame::Knowledge(answer, starts) => {
                if starts == self.starts {
                    self.told(self.names[from].clone(), *answer);
                }
            }
            Frame::Answer(_, starts) if starts != self.starts => {}
            Frame::Answer(bytes, _) => match SyncAnswer::from_peer(&bytes).unwrap() {
                SyncAnswer::Handovers { .. } => panic!("nobody asked"),
                SyncAnswer::Signatures { signatures, certificates } => {
                    for certificate in certificates {
                        let taken = self.running.as_mut().unwrap().executor.add_certificate(certificate).unwrap();
                        self.certification(taken);
                    }
                    for signature in signatures {
                        self.signature(signature);
                    }
                }
                answer => self.follow(answer),
            },
        }
    }

    /// Takes a frame that nobody honest made: it is refused, or does nothing.
    pub(crate) fn take_hostile(&mut self, from: usize, frame: Frame) {
        let Some(running) = &mut self.running else { return };
        let refused = match frame {
            Frame::Raft(number, bytes) => {
                let Some(ordering) = running.ordering.as_mut().filter(|_| running.speaks) else { return };
                match ordering.orderer.message(number, bytes) {
                    Err(MessageError::Stopped(stopped)) => panic!("a hostile frame stopped {}: {stopped}", self.name),
                    outcome => outcome.is_err(),
                }
            }
            Frame::Transactions(transactions) => {
                transactions.iter().all(|bytes| DecodedTransaction::decode(bytes.to_vec(), 1 << 20).is_err())
            }
            Frame::Signature(signature) => running.executor.add_signature(signature).unwrap().is_err(),
            Frame::Answer(bytes, _) => match SyncAnswer::from_peer(&bytes) {
                Ok(answer @ SyncAnswer::Blocks { .. }) => match running.executor.follow(answer) {
                    Ok(applied) => {
                        for executed in applied {
                            self.tell(executed);
                        }
                        false
                    }
                    Err(FollowError::Answer(_)) => true,
                    Err(FollowError::Fatal(error)) => panic!("a hostile answer stopped {}: {error}", self.name),
                },
                outcome => outcome.is_err(),
            },
            Frame::Certificate(certificate) => {
                let before = running.executor.ledger().certified_height();
                let taken = running.executor.add_certificate(certificate).unwrap_or_else(|error| {
                    panic!("a hostile certificate stopped {}: {error}", self.name);
                });
                let refused = before == self.executor().ledger().certified_height();
                self.certification(taken);
                refused
            }
            honest @ (Frame::Ask(..) | Frame::Question(..) | Frame::Knowledge(..)) => {
                self.take(from, honest);
                false
            }
        };
        self.seen.hostile += u64::from(refused);
    }

    pub(super) fn signature(&mut self, signature: HeaderSignature) {
        let Running { executor, seen, .. } = self.running.as_mut().unwrap();
        seen.seen(&signature, || executor.signed_as(&signature).unwrap());
        match executor.add_signature(signature).unwrap() {
            Ok(taken) => self.certification(taken),
            Err(SignatureError::Deviant) => self.seen.deviant += 1,
            // A voter of an epoch that is not here yet.
            Err(SignatureError::NotAVoter | SignatureError::Bad) => self.seen.unjudged += 1,
        }
    }

    pub(super) fn certification(&mut self, taken: Certification) {
        match taken {
            Certification::Nothing => {}
            Certification::Certified(certificate) => {
                if self.leads() {
                    self.out.push((To::Everyone, Frame::Certificate(certificate)));
                }
            }
            Certification::Behind(height) | Certification::Claimed(height) => {
                let running = self.running.as_mut().unwrap();
                running.known_height = running.known_height.max(height);
            }
        }
    }

    pub(super) fn follow(&mut self, answer: SyncAnswer) {
        let running = self.running.as_mut().unwrap();
        let applied = match running.executor.follow(answer) {
            Ok(applied) => applied,
            Err(FollowError::Answer(_)) if self.parted => {
                self.seen.refused += 1;
                return;
            }
            Err(FollowError::Answer(error)) => panic!("an honest answer is not believed: {error}"),
            Err(FollowError::Fatal(error)) => panic!("{error}"),
        };
        self.seen.pulled += applied.len() as u64;
        for executed in applied {
            self.tell(executed);
        }
        self.sign().unwrap();
        self.running.as_mut().unwrap().executor.sync().unwrap();
        self.cut_and_copy();
    }
}
