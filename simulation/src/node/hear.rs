//! What comes in.

use galen_chain::history::HistoryAnswer;

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
        self.step = step;
        self.ask_about_itself(step);
        if self.speaks()
            && let Some(ordering) = self.running.as_mut().and_then(|running| running.ordering.as_mut())
        {
            ordering.orderer.tick(now).unwrap();
        }
        self.retire();
        self.scrub(step);
        self.end_rejoin();
    }

    /// Takes a frame from another node.
    pub(crate) fn take(&mut self, from: usize, frame: Frame) {
        if self.has_ended() {
            return;
        }
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
                let taken = running.executor.add_certificate(certificate);
                if let Some(taken) = self.survive(taken) {
                    self.certification(taken);
                }
            }
            Frame::Ask(request, starts) => {
                let answer = SyncAnswer::to_request(&request, running.executor.ledger());
                let Some(answer) = self.survive(answer) else { return };
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
            Frame::AskHeight(starts) => {
                let height = running.executor.ledger().certified_height();
                self.out.push((To::Place(from), Frame::Height(height, starts)));
            }
            Frame::Height(height, starts) => {
                if starts == self.starts {
                    running.known_height = running.known_height.max(height);
                }
            }
            Frame::AskSnapshot(request, starts) => {
                let Some(answer) = self.answer_snapshot(&request) else { return };
                let answer = answer.encode();
                self.out.push((To::Place(from), Frame::Snapshot(request, answer, starts)));
            }
            Frame::AskPast(request, starts) => {
                let answer = HistoryAnswer::to_request(&request, running.executor.ledger());
                let Some(answer) = self.survive(answer) else { return };
                let answer = answer.encode();
                self.out.push((To::Place(from), Frame::Past(answer, starts)));
            }
            Frame::Answer(_, starts) | Frame::Snapshot(_, _, starts) | Frame::Past(_, starts)
                if starts != self.starts => {}
            Frame::Snapshot(request, bytes, _) => _ = self.take_snapshot(from, &request, &bytes, self.step),
            Frame::Past(bytes, _) => {
                let taken = self.take_past(&bytes);
                assert_ne!(taken, Taken::Refused, "{}: an honest answer about the past is not believed", self.name);
            }
            Frame::Answer(bytes, _) => match SyncAnswer::from_peer(&bytes).unwrap() {
                SyncAnswer::Handovers { handovers } => {
                    assert!(self.snapshots.is_some(), "nobody asked");
                    self.told_handovers(from, handovers, self.step);
                }
                SyncAnswer::Signatures { signatures, certificates } => {
                    for certificate in certificates {
                        let taken = self.running.as_mut().unwrap().executor.add_certificate(certificate);
                        if let Some(taken) = self.survive(taken) {
                            self.certification(taken);
                        }
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
        if self.has_ended() {
            return;
        }
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
            Frame::Signature(signature) => {
                let taken = running.executor.add_signature(signature);
                self.survive(taken).is_none_or(|taken| taken.is_err())
            }
            Frame::Answer(bytes, _) => match SyncAnswer::from_peer(&bytes) {
                Ok(answer @ SyncAnswer::Blocks { .. }) => match running.executor.follow(answer) {
                    Ok(applied) => {
                        for executed in applied {
                            self.tell(executed);
                        }
                        false
                    }
                    Err(FollowError::Answer(_)) => true,
                    Err(FollowError::Fatal(error)) => {
                        let outcome = self.survive::<()>(Err(error));
                        assert!(outcome.is_none());
                        false
                    }
                },
                outcome => outcome.is_err(),
            },
            Frame::Certificate(certificate) => {
                let before = running.executor.ledger().certified_height();
                let taken = match running.executor.add_certificate(certificate) {
                    Err(error) if !self.write_fails && !self.is_rotten => {
                        panic!("a hostile certificate stopped {}: {error}", self.name)
                    }
                    outcome => self.survive(outcome),
                };
                let refused = before == self.executor().ledger().certified_height();
                if let Some(taken) = taken {
                    self.certification(taken);
                }
                refused
            }
            Frame::Snapshot(_, _, starts) | Frame::Past(_, starts) if starts != self.starts => return,
            Frame::Snapshot(request, bytes, _) => {
                let taken = self.take_snapshot(from, &request, &bytes, self.step);
                assert_ne!(taken, Taken::Accepted, "{} takes an altered piece of a snapshot", self.name);
                taken == Taken::Refused
            }
            Frame::Past(bytes, _) => {
                // What of it is sound may be taken.
                self.take_past(&bytes) == Taken::Refused
            }
            honest @ (Frame::Ask(..)
            | Frame::Question(..)
            | Frame::Knowledge(..)
            | Frame::AskHeight(..)
            | Frame::Height(..)
            | Frame::AskSnapshot(..)
            | Frame::AskPast(..)) => {
                self.take(from, honest);
                false
            }
        };
        self.seen.hostile += u64::from(refused);
    }

    pub(super) fn signature(&mut self, signature: HeaderSignature) {
        let Running { executor, seen, .. } = self.running.as_mut().unwrap();
        seen.seen(&signature, || executor.signed_as(&signature).unwrap());
        let taken = executor.add_signature(signature);
        match self.survive(taken) {
            None => {}
            Some(Ok(taken)) => self.certification(taken),
            Some(Err(SignatureError::Deviant)) => self.seen.deviant += 1,
            // A voter of an epoch that is not here yet.
            Some(Err(SignatureError::NotAVoter | SignatureError::Bad)) => self.seen.unjudged += 1,
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
            Err(FollowError::Fatal(error)) => {
                self.survive::<()>(Err(error));
                return;
            }
        };
        self.seen.pulled += applied.len() as u64;
        for executed in applied {
            self.tell(executed);
        }
        self.sign();
        let synced = self.running.as_mut().unwrap().executor.sync();
        if self.survive(synced).is_some() {
            self.cut_and_copy();
        }
    }
}
