//! One call being judged: what it reads, writes and says happened.

use galen_types::member::{Account, Node, Role};
use galen_types::proposal::ProposedChange;
use galen_types::{AccountName, Encoding, Event, Hash, MemberName, Parameters, Timestamp};

use crate::changes::Changes;
use crate::execute::{BlockContext, Writes};
use crate::keys::Key;
use crate::provenance::concerning;
use crate::refusal::{Failure, Refusal};
use crate::signer::Actor;
use crate::state::{Lookup, StateError, StateRead};

/// What a rule says of a call.
pub(crate) type Judged<T = ()> = Result<T, Failure>;

/// One call being judged. Its writes are seen by its own later reads and dropped if it is refused.
pub(crate) struct Session<'call> {
    /// What it reads and writes.
    pub(crate) changes: Changes<'call>,
    pub(crate) block: &'call BlockContext,
    /// The transaction's id, which becomes the id of what it creates.
    pub(crate) id: Hash,
    pub(crate) parameters: Parameters,
    actor: Actor,
    /// What the event of this call has in common with every event of it.
    event: Event,
    events: Vec<Event>,
    /// Events that stay when the call is refused: decisions to deny.
    denials: Vec<Event>,
}

impl<'call> Session<'call> {
    pub(crate) fn new(
        state: &'call dyn StateRead,
        block: &'call BlockContext,
        id: Hash,
        parameters: Parameters,
        actor: Actor,
        event: Event,
    ) -> Self {
        let (events, denials) = (Vec::new(), Vec::new());
        Self { changes: Changes::new(state), block, id, parameters, actor, event, events, denials }
    }

    /// Block time.
    pub(crate) fn now(&self) -> Timestamp {
        self.block.time
    }

    pub(crate) fn height(&self) -> u64 {
        self.block.height
    }

    /// The signing account.
    pub(crate) fn account(&self) -> Judged<&Account> {
        match &self.actor {
            Actor::Account(account) => Ok(account),
            Actor::Node(_) => Err(Refusal::AccountRequired.into()),
        }
    }

    /// The signing node.
    pub(crate) fn node(&self) -> Judged<&Node> {
        match &self.actor {
            Actor::Node(node) => Ok(node),
            Actor::Account(_) => Err(Refusal::NodeRequired.into()),
        }
    }

    /// The signing account's name, where the account has one of these roles.
    pub(crate) fn account_with_role(&self, roles: &'static [Role]) -> Judged<AccountName> {
        let account = self.account()?;
        if roles.iter().any(|role| account.has_role(*role)) {
            Ok(account.name.clone())
        } else {
            Err(Refusal::RoleMissing { needed: roles }.into())
        }
    }

    /// The signing account's name, where it has this role and belongs to this member.
    pub(crate) fn account_of_member(&self, member: &MemberName, roles: &'static [Role]) -> Judged<AccountName> {
        let name = self.account_with_role(roles)?;
        if &name.member == member { Ok(name) } else { Err(Refusal::NotYourMember { member: member.clone() }.into()) }
    }

    /// The record of a key, or a refusal.
    pub(crate) fn require<T: Encoding>(&self, key: &Key<T>, missing: impl FnOnce() -> Refusal) -> Judged<T> {
        self.load(key)?.ok_or_else(|| missing().into())
    }

    pub(crate) fn put<T: Encoding>(&mut self, key: Key<T>, record: &T) {
        self.changes.put(key, record);
    }

    pub(crate) fn put_present(&mut self, key: Key<u8>) {
        self.changes.put_present(key);
    }

    pub(crate) fn remove<T>(&mut self, key: Key<T>) {
        self.changes.remove(key);
    }

    pub(crate) fn count(&mut self, key: Key<u32>, change: i8) -> Result<u32, StateError> {
        self.changes.count(key, change)
    }

    /// Does something that a rule may refuse without the call being refused: then nothing of it is left.
    pub(crate) fn attempt(
        &mut self,
        doing: impl FnOnce(&mut Self) -> Judged,
    ) -> Result<Result<(), Refusal>, StateError> {
        let (writes, events) = (self.changes.writes.clone(), self.events.len());
        match doing(self) {
            Ok(()) => Ok(Ok(())),
            Err(Failure::State(error)) => Err(error),
            Err(Failure::Refused(refusal)) => {
                self.changes.writes = writes;
                self.events.truncate(events);
                Ok(Err(refusal))
            }
        }
    }

    /// Whether something could be done now: it is tried, and nothing of it is left.
    pub(crate) fn check(&mut self, doing: impl FnOnce(&mut Self) -> Judged) -> Judged {
        let (writes, events) = (self.changes.writes.clone(), self.events.len());
        let judged = doing(self);
        self.changes.writes = writes;
        self.events.truncate(events);
        judged
    }

    /// Makes every event of this call name the member, account or node that a proposal is about.
    pub(crate) fn concern(&mut self, change: &ProposedChange) {
        self.event = concerning(change, self.event.clone());
    }

    /// An event of this call, to be completed and recorded.
    pub(crate) fn event(&self) -> Event {
        self.event.clone()
    }

    /// Records what happened.
    pub(crate) fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Records a decision to deny, which stays although the call is refused.
    pub(crate) fn record_denial(&mut self, event: Event) {
        self.denials.push(event);
    }

    /// The writes and events of a call that was done.
    pub(crate) fn applied(self) -> (Writes, Vec<Event>) {
        (self.changes.writes, self.events)
    }

    /// The events of a call that was refused: its decisions to deny, or the call itself with the rule.
    pub(crate) fn refused(self, refusal: &Refusal) -> Vec<Event> {
        if self.denials.is_empty() { vec![Event { rule: Some(refusal.rule()), ..self.event }] } else { self.denials }
    }
}

impl Lookup for Session<'_> {
    fn lookup(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.changes.lookup(key)
    }
}
