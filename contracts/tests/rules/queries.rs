//! Typed readers page by page, and events found again by their index.

use std::collections::BTreeMap;

use galen_contracts::{EventPosition, EventQuery, index_entries, query, write_set_digest};
use galen_types::access::{GrantLimits, RequestState};
use galen_types::receipt::Operation;
use galen_types::vocabulary::Action;
use galen_types::{Call, Event, RequestId, TransactionId};

use crate::support::{Consortium, MEMBERS, name, specification, terms};

/// Reads a list in pages of two; gives every item in order.
fn pages<Item: Clone>(mut page: impl FnMut(Option<&Item>) -> Vec<Item>) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    loop {
        let next = page(items.last());
        assert!(next.len() <= 2);
        if next.is_empty() {
            return items;
        }
        items.extend(next);
    }
}

#[test]
fn lists_come_in_pages_and_in_order() {
    let mut chain = Consortium::new();
    // Names of which one begins another: no list may mix them up.
    for dataset in ["harlem/a", "harlem/a-b", "harlem/ab", "hennepin/a", "kentucky/a"] {
        chain.publish(dataset);
    }
    let state = &chain.state;
    let members = pages(|last: Option<&galen_types::member::Member>| {
        query::list_members(state, last.map(|member| &member.name), 2).unwrap()
    });
    assert_eq!(members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), MEMBERS);
    let all = pages(|last: Option<&galen_types::dataset::Dataset>| {
        query::list_datasets(state, None, last.map(|dataset| &dataset.name), 2).unwrap()
    });
    let names: Vec<_> = all.iter().map(|dataset| dataset.name.to_string()).collect();
    assert_eq!(names, ["harlem/a", "harlem/a-b", "harlem/ab", "hennepin/a", "kentucky/a"]);
    let harlem = name("harlem");
    let own = pages(|last: Option<&galen_types::dataset::Dataset>| {
        query::list_datasets(state, Some(&harlem), last.map(|dataset| &dataset.name), 2).unwrap()
    });
    assert_eq!(own.len(), 3);
    let accounts = pages(|last: Option<&galen_types::member::Account>| {
        query::list_accounts(state, None, last.map(|account| &account.name), 2).unwrap()
    });
    assert_eq!(accounts.len(), 16);
    assert_eq!(query::list_accounts(state, Some(&harlem), None, 100).unwrap().len(), 4);
    let nodes = query::list_nodes(state, Some(&harlem), None, 100).unwrap();
    assert_eq!(
        nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>(),
        ["aggregator.harlem", "node-1.harlem"]
    );
    assert_eq!(query::get_voter_set(state).unwrap().voters.len(), 4);
    assert_eq!(query::get_node(state, &name("node-1.kentucky")).unwrap().unwrap().raft_id, 3);
    assert_eq!(query::get_grant(state, galen_types::GrantId(galen_types::Hash::ZERO)).unwrap(), None);
}

#[test]
fn requests_grants_and_jobs_come_in_the_order_of_happening() {
    let mut chain = Consortium::new();
    let researcher = name("researcher@hennepin");
    chain.publish_everywhere();
    let filed: Vec<_> = (0..5)
        .map(|_| RequestId(chain.request("researcher@hennepin", "harlem/opt", terms(Action::Download))))
        .collect();
    let state = chain.state.clone();
    let ids =
        |requests: Vec<galen_types::access::Request>| requests.iter().map(|request| request.id).collect::<Vec<_>>();
    type Last<'last> = Option<&'last galen_types::access::Request>;
    let of = pages(|last: Last<'_>| {
        query::list_requests_of(&state, &researcher, last.map(|request| request.id), 2).unwrap()
    });
    let on = pages(|last: Last<'_>| {
        query::list_requests_for(&state, &name("harlem/opt"), last.map(|request| request.id), 2).unwrap()
    });
    let to = pages(|last: Last<'_>| {
        let start = last.map(|request| request.id);
        query::list_requests_to(&state, &name("harlem"), RequestState::Submitted, start, 2).unwrap()
    });
    for listed in [ids(of), ids(on), ids(to)] {
        assert_eq!(listed, filed);
    }
    let unknown = Some(RequestId(galen_types::Hash::ZERO));
    assert!(query::list_requests_of(&state, &researcher, unknown, 2).unwrap().is_empty());

    let granted: Vec<_> = chain.grant_compute_everywhere("researcher@hennepin");
    let second = chain.grant("researcher@kentucky", "harlem/opt", terms(Action::Compute), GrantLimits::default());
    let of = query::list_grants_of(&chain.state, &researcher, None, 10).unwrap();
    assert_eq!(of.iter().map(|grant| grant.id.0).collect::<Vec<_>>(), granted);
    let on = query::list_grants_on(&chain.state, &name("harlem/opt"), None, 10).unwrap();
    assert_eq!(on.iter().map(|grant| grant.id.0).collect::<Vec<_>>(), [granted[0], second]);
    let rest = query::list_grants_on(&chain.state, &name("harlem/opt"), Some(on[0].id), 10).unwrap();
    assert_eq!(rest, on[1..]);

    let jobs: Vec<_> = (0..3).map(|_| chain.done("researcher@hennepin", Call::SubmitJob(specification()))).collect();
    let of = query::list_jobs_of(&chain.state, &researcher, None, 10).unwrap();
    assert_eq!(of.iter().map(|job| job.id.0).collect::<Vec<_>>(), jobs);
    let running = query::list_jobs_running(&chain.state, Some(of[0].id), 10).unwrap();
    assert_eq!(running, of[1..]);
}

#[test]
fn events_are_found_by_dataset_operator_member_height_and_operation() {
    let mut chain = Consortium::new();
    let mut events: BTreeMap<EventPosition, Event> = BTreeMap::new();
    let mut index = std::collections::BTreeSet::new();
    let calls = [
        (
            "owner@harlem",
            Call::PublishDataset { dataset: name("opt"), content: crate::support::content("opt"), discoverable: true },
        ),
        (
            "researcher@hennepin",
            Call::RequestAccess { dataset: name("harlem/opt"), terms: terms(Action::Download), draft: false },
        ),
        ("node-1.harlem", Call::ReportTampering { version: name("harlem/opt@1") }),
        // Refused: recorded all the same.
        ("node-1.kentucky", Call::ReportTampering { version: name("harlem/opt@1") }),
    ];
    for (signer, call) in calls {
        let (id, recorded) = chain.recorded(signer, call);
        let height = chain.block.height;
        let (receipt, writes) = recorded.clone().into_receipt(TransactionId(id));
        assert_eq!(receipt, recorded.receipt(TransactionId(id)));
        assert_eq!(receipt.write_set, write_set_digest(&writes));
        for (place, event) in (0u32..).zip(&receipt.events) {
            events.insert(EventPosition { height, transaction: 3, event: place }, event.clone());
        }
        index.extend(index_entries(height, 3, &receipt));
    }
    let found = |query: EventQuery, from: u64| -> Vec<u64> {
        let prefix = query.prefix();
        let keys = index.range(query.from_height(from)..).take_while(|key| key.starts_with(&prefix));
        keys.map(|key| {
            let position = EventPosition::of_key(key).unwrap();
            assert!(events.contains_key(&position));
            assert_eq!(query.key(position), *key);
            position.height
        })
        .collect()
    };
    assert_eq!(found(EventQuery::All, 0), [1, 2, 3, 4]);
    assert_eq!(found(EventQuery::All, 3), [3, 4]);
    assert_eq!(found(EventQuery::Dataset(name("harlem/opt")), 0), [1, 2, 3, 4]);
    assert_eq!(found(EventQuery::Dataset(name("harlem/op")), 0), [0u64; 0]);
    assert_eq!(found(EventQuery::Operator(name("owner@harlem")), 0), [1]);
    assert_eq!(found(EventQuery::Operator(name("node-1.harlem")), 0), [3]);
    // What harlem did, and what was done with its data.
    assert_eq!(found(EventQuery::Member(name("harlem")), 0), [1, 2, 3, 4]);
    assert_eq!(found(EventQuery::Member(name("kentucky")), 0), [4]);
    assert_eq!(found(EventQuery::Operation(Operation::ReportTampering), 0), [3, 4]);
    assert_eq!(EventPosition::of_key(&[0; 15]), None);
}
