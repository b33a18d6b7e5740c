//! What people write and read: names, times, filters, headers, genesis documents.
#![allow(clippy::expect_used, reason = "tests assert by panicking")]

mod common;

use common::{examples, strategies, text};
use galen_types::genesis::GenesisError;
use galen_types::member::{NodeAddress, NodeRole, Role};
use galen_types::request_signature::{RequestSignature, SignedParts};
use galen_types::vocabulary::{Comparison, Condition, Filter, Statistic, Value};
use galen_types::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn names_read_back(
        account in strategies::account(),
        node in strategies::node(),
        version in strategies::version(),
        signer in strategies::signer(),
        hash in strategies::hash(),
    ) {
        prop_assert_eq!(account.to_string().parse(), Ok(account));
        prop_assert_eq!(node.to_string().parse(), Ok(node));
        prop_assert_eq!(version.dataset.to_string().parse(), Ok(version.dataset.clone()));
        prop_assert_eq!(version.to_string().parse(), Ok(version));
        prop_assert_eq!(signer.to_string().parse(), Ok(signer));
        prop_assert_eq!(hash.to_string().parse(), Ok(hash));
    }

    #[test]
    fn any_text_is_a_name_or_an_error(text in ".{0,80}") {
        if let Ok(name) = text.parse::<AccountName>() {
            prop_assert_eq!(name.to_string(), text.as_str());
        }
        if let Ok(name) = text.parse::<VersionName>() {
            prop_assert_eq!(name.to_string(), text.as_str());
        }
        if let Ok(name) = text.parse::<ColumnName>() {
            prop_assert_eq!(name.to_string(), text.as_str());
        }
        if let Ok(hash) = text.parse::<Hash>() {
            prop_assert_eq!(hash.to_string(), text.as_str());
        }
    }

    #[test]
    fn times_read_back(time in strategies::time()) {
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn filters_read_back(filter in filter()) {
        let text = filter.to_string();
        let read: Filter = text.parse().expect(&text);
        prop_assert_eq!(read.to_string(), text);
        prop_assert_eq!(read, filter);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_with_a_place(text in "[ -~é]{0,60}|[aA=<>!'\" 0-9.e-]{0,60}( and [aA=<>!'\" 0-9]{0,30}){0,3}") {
        match text.parse::<Filter>() {
            Ok(filter) => prop_assert_eq!(filter.to_string().parse(), Ok(filter)),
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.position), "{error}"),
        }
    }

    #[test]
    fn authorization_headers_read_back(
        account in strategies::account(),
        time in strategies::time(),
        nonce in any::<[u8; 16]>(),
        signature in strategies::signature(),
    ) {
        let header = RequestSignature { account, time, nonce, signature };
        prop_assert_eq!(header.to_string().parse(), Ok(header));
    }

    #[test]
    fn any_text_is_an_authorization_header_or_an_error(text in "(Galen )?(account|time|nonce|signature|, |=|[ -~]){0,12}") {
        let _ = text.parse::<RequestSignature>();
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    let number = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let value = prop_oneof![
        // Reading turns the negative zero into zero.
        number.prop_map(|number| Value::Number(number + 0.0)),
        "[ -~é]{0,20}".prop_map(|text| Value::Text(text.trim().to_owned())),
    ];
    let condition = (strategies::column(), prop::sample::select(Comparison::ALL), value)
        .prop_map(|(column, comparison, value)| Condition { column, comparison, value });
    prop::collection::vec(condition, 1..=16).prop_map(|all| Filter { all })
}

#[test]
fn names_that_are_none() {
    let long = "a".repeat(64);
    for wrong in ["", "A", "a b", "a_b", "é", "a.b", long.as_str()] {
        assert!(wrong.parse::<Slug>().is_err(), "{wrong}");
    }
    for wrong in ["alice", "alice@", "@harlem", "alice@harlem@x", "alice@harlem ", "Alice@harlem"] {
        assert!(wrong.parse::<AccountName>().is_err(), "{wrong}");
    }
    for wrong in ["node-1", "node-1.", "node-1.harlem.x"] {
        assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
    }
    for wrong in
        ["harlem/opt", "harlem/opt@", "harlem/opt@0", "harlem/opt@01", "harlem/opt@+1", "harlem/opt@4294967296"]
    {
        assert!(wrong.parse::<VersionName>().is_err(), "{wrong}");
    }
    for wrong in ["", " Age", "Age ", "A\tge", "a\u{7f}", &"x".repeat(129)] {
        assert!(wrong.parse::<ColumnName>().is_err(), "{wrong:?}");
    }
    for wrong in ["127.0.0.1:7101", "/ip4/ 1", &format!("/{}", "x".repeat(256))] {
        assert!(NodeAddress::parse(wrong).is_err(), "{wrong}");
    }
    let error = "Alice@harlem".parse::<AccountName>().expect_err("upper case");
    assert_eq!(error.to_string(), "`Alice@harlem` is not an account, like alice@harlem");
    // Errors repeat at most 80 characters of what was given.
    let error = "é".repeat(500).parse::<Slug>().expect_err("not a slug");
    assert_eq!(error.text.chars().count(), 80);
}

#[test]
fn words_read_back_and_others_name_the_choices() {
    for statistic in Statistic::ALL {
        assert_eq!(statistic.as_str().parse(), Ok(*statistic));
    }
    let error = "median".parse::<Statistic>().expect_err("not offered");
    assert_eq!(error.to_string(), "`median` is none of: count, missing, sum, mean, variance");
}

#[test]
fn times_are_rfc_3339() {
    let time: Timestamp = text("2026-11-21T10:00:00.123Z");
    assert_eq!(time, Timestamp(1_795_255_200_123));
    for same in ["2026-11-21T11:00:00.123+01:00", "2026-11-21T10:00:00.123999Z", "2026-11-21t10:00:00.123z"] {
        assert_eq!(text::<Timestamp>(same), time, "{same}");
    }
    assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(Timestamp(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    assert_eq!(Timestamp(u64::MAX).plus_ms(1), Timestamp(u64::MAX));
    for wrong in [
        "",
        "2026-11-21",
        "2026-11-21T10:00:00",
        "2026-13-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
    ] {
        assert!(wrong.parse::<Timestamp>().is_err(), "{wrong}");
    }
}

#[test]
fn filters_have_one_text() {
    let filter: Filter = text("Age>=18 AND  \"Group\"='T '  and x.y_1 != -1.50e1 and \"a \"\"b\" < 'it''s'");
    let canonical = r#""Age" >= 18 and "Group" = 'T' and "x.y_1" != -15 and "a ""b" < 'it''s'"#;
    assert_eq!(filter.to_string(), canonical);
    let columns: Vec<&str> = filter.columns().map(ColumnName::as_str).collect();
    assert_eq!(columns, ["Age", "Group", "x.y_1", "a \"b"]);
    // Negative zero is zero; numbers far from 1 stay short.
    assert_eq!(text::<Filter>("a = -0.0").to_string(), "\"a\" = 0");
    assert_eq!(text::<Filter>("a = 1e300").to_string(), "\"a\" = 1e300");
}

#[test]
fn filter_errors_say_where_and_what() {
    let cases = [
        ("", 1, "a column name is expected here"),
        ("Age", 4, "one of = != < <= > >= is expected here"),
        ("Age => 3", 5, "one of = != < <= > >= is expected here"),
        ("Age = ", 7, "a number, or text in single quotes, is expected here"),
        ("Age = T", 7, "a number, or text in single quotes, is expected here"),
        ("Age = 1e999", 7, "a number, or text in single quotes, is expected here"),
        ("Age = nan", 7, "a number, or text in single quotes, is expected here"),
        ("Age = 'T", 9, "a closing quote is missing"),
        ("é = 1 or b = 2", 7, "`and` or the end is expected here"),
        ("Age = 1 and", 12, "a column name is expected here"),
        ("Age = 1; drop", 8, "`and` or the end is expected here"),
        ("\" Age\" = 1", 1, "a column name is expected here"),
    ];
    for (filter, position, problem) in cases {
        let error = filter.parse::<Filter>().expect_err(filter);
        assert_eq!((error.position, error.problem), (position, problem), "{filter}");
    }
}

#[test]
fn filters_are_bounded() {
    let conditions = |count: usize| vec!["a = 1"; count].join(" and ");
    assert!(conditions(16).parse::<Filter>().is_ok());
    let error = conditions(17).parse::<Filter>().expect_err("17 conditions");
    assert_eq!(error.problem, "there are more than 16 conditions");
    let long = |length: usize| format!("a = '{}'", "x".repeat(length)).parse::<Filter>();
    // What is read can be printed and read again, so the limit is that of the printed text.
    let largest = long(4096 - "\"a\" = ''".len()).expect("it fits");
    assert_eq!(largest.to_string().parse(), Ok(largest));
    assert_eq!(long(4096 - "\"a\" = ''".len() + 1).expect_err("too long").problem, "it is longer than 4096 bytes");
    assert!(long(1 << 20).is_err());
}

#[test]
fn requests_are_signed_in_all_parts() {
    let key = examples::secret(examples::ACCOUNT_SEED);
    let (genesis, body) = (examples::hash(1), examples::hash(2));
    let (node, other_node) = (text("node-1.harlem"), text("node-1.kentucky"));
    let parts = SignedParts { genesis: &genesis, node: &node, method: "POST", path: "/v1/jobs", body: &body };
    let header = RequestSignature::sign(&parts, text("alice@harlem"), Timestamp(5), [6; 16], &key);
    let key = key.public_key();
    assert_eq!(header.verify(&parts, &key), Ok(()));
    let other = examples::hash(3);
    for wrong in [
        SignedParts { genesis: &other, ..parts },
        SignedParts { node: &other_node, ..parts },
        SignedParts { method: "PUT", ..parts },
        SignedParts { path: "/v1/jobs?", ..parts },
        SignedParts { body: &other, ..parts },
        // What moves from one part to the next is another request.
        SignedParts { method: "POST/", path: "v1/jobs", ..parts },
    ] {
        assert!(header.verify(&wrong, &key).is_err(), "{wrong:?}");
    }
    for wrong in [
        RequestSignature { account: text("bob@harlem"), ..header.clone() },
        RequestSignature { time: Timestamp(6), ..header.clone() },
        RequestSignature { nonce: [7; 16], ..header.clone() },
    ] {
        assert!(wrong.verify(&parts, &key).is_err(), "{wrong}");
    }
}

#[test]
fn authorization_headers_are_read_strictly() {
    let key = examples::secret(1);
    let hash = examples::hash(1);
    let parts = SignedParts { genesis: &hash, node: &text("node-1.harlem"), method: "GET", path: "/", body: &hash };
    let good = RequestSignature::sign(&parts, text("alice@harlem"), Timestamp(5), [6; 16], &key).to_string();
    let problem = |text: &str| text.parse::<RequestSignature>().expect_err(text).to_string();
    assert!(problem(&good.replace("Galen ", "Basic ")).contains("the scheme is not `Galen`"));
    assert!(problem(&good.replace("account=alice@harlem, ", "")).contains("`account` is missing"));
    assert!(problem(&good.replace("alice@harlem", "alice")).contains("`account` is missing or no account name"));
    assert!(problem(&good.replace("nonce=06", "nonce=6")).contains("`nonce` is missing or not 32"));
    assert!(problem(&good.replace("nonce=", "salt=")).contains("a field is unknown"));
    assert!(problem(&good.replace("time=", "time")).contains("a field has no value"));
    assert!(problem(&format!("{good}, account=bob@harlem")).contains("a field stands twice"));
    assert!(problem(&format!("{good}{}", " ".repeat(1024))).contains("longer than 1024 bytes"));
}

#[test]
fn a_genesis_reads_back_from_toml() {
    let genesis = examples::genesis();
    let toml = genesis.to_toml().expect("TOML");
    let read = Genesis::from_toml(&toml).expect("a genesis");
    assert_eq!(read, genesis);
    assert_eq!(read.hash(), genesis.hash());
    assert_eq!(genesis.nodes().iter().map(|node| node.raft_id).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(genesis.voter_set().quorum(), 3);
    // Unknown words are refused, so that a misspelt limit is not silently the default.
    let misspelt = toml.replace("rows_min", "row_min");
    assert_eq!(Genesis::from_toml(&misspelt).expect_err("misspelt").code(), "genesis-malformed");
}

#[test]
fn a_genesis_that_cannot_found_a_consortium_is_refused() {
    type Change = fn(&mut Genesis);
    let code = |change: Change| {
        let mut genesis = examples::genesis();
        change(&mut genesis);
        genesis.check().map_err(|error: GenesisError| error.code())
    };
    let cases: [(Change, &str); 13] = [
        (|genesis| genesis.parameters.disclosure.sites_min = 1, "genesis-parameter"),
        (|genesis| genesis.parameters.block_bytes_max = 1, "genesis-parameter"),
        (|genesis| genesis.rules_version = 2, "genesis-rules-version"),
        (|genesis| genesis.rules_version = 0, "genesis-rules-version"),
        (|genesis| genesis.state_bucket_bits = 25, "genesis-state-bucket-bits"),
        (|genesis| genesis.members[1].name = genesis.members[0].name.clone(), "genesis-duplicate"),
        (|genesis| genesis.members[1].nodes[0].key = genesis.members[0].nodes[0].key, "genesis-duplicate"),
        (|genesis| genesis.members[0].accounts[0].roles = vec![Role::Owner], "genesis-no-administrator"),
        (|genesis| genesis.members[0].accounts[0].roles = vec![Role::Owner, Role::Admin], "genesis-roles"),
        (
            |genesis| {
                for founder in &mut genesis.members {
                    founder.nodes[0].role = NodeRole::Observer;
                }
            },
            "genesis-no-voter",
        ),
        (
            |genesis| {
                let mut second = genesis.members[0].nodes[0].clone();
                (second.node, second.key) = (text("node-2"), examples::secret(77).public_key());
                genesis.members[0].nodes.push(second);
            },
            "genesis-too-many-voters",
        ),
        (
            |genesis| {
                // One of 4 members, so that 49 have a voter.
                for number in 0..45 {
                    let mut founder = genesis.members[0].clone();
                    founder.name = text(&format!("member-{number}"));
                    founder.accounts.truncate(1);
                    founder.accounts[0].key = examples::secret(100 + number).public_key();
                    founder.nodes.truncate(1);
                    founder.nodes[0].key = examples::secret(150 + number).public_key();
                    genesis.members.push(founder);
                }
            },
            "genesis-voters-too-many",
        ),
        (|genesis| genesis.parameters.managing_agency = Some(text("nowhere")), "genesis-agency-unknown"),
    ];
    for (change, expected) in cases {
        assert_eq!(code(change), Err(expected));
    }
    assert_eq!(code(|_| ()), Ok(()));
}
