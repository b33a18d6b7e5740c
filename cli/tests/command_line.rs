//! The binary as scripts see it: help, exit codes, stdout and stderr.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests assert by panicking")]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn galen(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_galen"));
    command.env_clear().env("GALEN_HOME", home).env("COLUMNS", "100").stdin(Stdio::null());
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    galen(home).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn done(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn json(home: &Path, arguments: &[&str]) -> serde_json::Value {
    let text = done(home, &[arguments, &["--json"]].concat());
    assert_eq!(text.lines().count(), 1, "one document on one line");
    serde_json::from_str(&text).unwrap()
}

/// Compares with a golden file; `GALEN_GOLDEN=write` renews it.
fn assert_golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GALEN_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "renew with GALEN_GOLDEN=write cargo test -p galen, and read the difference");
}

#[test]
fn help_is_as_documented() {
    let home = tempfile::tempdir().unwrap();
    assert_golden("help.txt", &done(home.path(), &["--help"]));
    let nouns = [
        "testnet",
        "context",
        "key",
        "genesis",
        "node",
        "member",
        "parameters",
        "account",
        "data",
        "contract",
        "access",
        "compute",
        "block",
        "tx",
        "ledger",
        "proof",
        "recovery",
    ];
    let mut all = String::new();
    for noun in nouns {
        all += &format!("$ galen {noun} --help\n{}\n", done(home.path(), &[noun, "--help"]));
    }
    assert_golden("help_nouns.txt", &all);
    let verbs: &[&[&str]] = &[
        &["data", "add"],
        &["data", "get"],
        &["contract", "set"],
        &["access", "request"],
        &["access", "approve"],
        &["compute", "run"],
        &["compute", "result"],
        &["audit"],
        &["context", "add"],
        &["testnet", "up"],
        &["bench"],
        &["node", "init"],
        &["ledger", "verify"],
        &["ledger", "backup"],
        &["ledger", "restore"],
        &["ledger", "evidence"],
        &["proof", "get"],
        &["proof", "verify"],
        &["member", "apply"],
        &["member", "vote"],
        &["member", "propose", "reset-administrator"],
        &["node", "add"],
        &["node", "replace"],
        &["node", "rotate-key"],
        &["recovery", "draft"],
        &["recovery", "sign"],
        &["recovery", "merge"],
        &["recovery", "apply"],
    ];
    let mut all = String::new();
    for verb in verbs {
        all += &format!("$ galen {} --help\n{}\n", verb.join(" "), done(home.path(), &[*verb, &["--help"]].concat()));
    }
    assert_golden("help_verbs.txt", &all);
}

#[test]
fn help_fits_on_a_terminal_of_a_hundred_columns() {
    let home = tempfile::tempdir().unwrap();
    for line in done(home.path(), &["data", "add", "--help"]).lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn wrong_usage_exits_with_two_and_says_so_on_stderr_only() {
    let home = tempfile::tempdir().unwrap();
    let cases: [&[&str]; 14] = [
        &["dat", "list"],
        &["data", "add"],
        &["data", "add", "x.csv", "--name", "opt", "--duo", "XXX"],
        &["access", "request", "opt", "--action", "compute", "--purpose", "HRESCH"],
        &["access", "reject", "xyz", "--reason", "duplicate"],
        &["compute", "run", "--dataset", "harlem/opt", "--stat", "median", "--column", "Age"],
        &["compute", "run", "--dataset", "harlem/opt", "--stat", "mean", "--column", "Age", "--where", "Age >"],
        &["audit", "--since", "yesterday"],
        &[
            "member",
            "apply",
            "https://harlem.example",
            "--name",
            "ohio",
            "--home",
            "h",
            "--address",
            "/ip4/1.2.3.4/tcp/1",
        ],
        &["member", "vote", "0123456789ab"],
        &["member", "vote", "0123456789ab", "--approve", "--reject"],
        &["member", "vote", "0123456789ab", "maybe"],
        &["member", "list", "--contacts"],
        &["node", "add", "node-2", "--home", "h", "--address", "nowhere"],
    ];
    for arguments in cases {
        let output = run(home.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(stderr(&output).contains("error:"), "{arguments:?}");
    }
}

#[test]
fn without_a_context_the_error_says_how_to_make_one() {
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &["data", "list"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.starts_with("error: no node is chosen\nhint: `galen context add"), "{text}");
}

#[test]
fn a_node_that_is_not_there_exits_with_five() {
    let home = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(home.path(), &["node", "status", "--node", &url]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).starts_with(&format!("error: cannot reach the node at {url}: ")));
    assert!(stderr(&output).contains("\nhint: "));
    let output = run(home.path(), &["node", "status", "--node", &url, "--json"]);
    let error: serde_json::Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(error["code"], "client-unreachable");
}

/// Answers every request on a port with one document.
fn answering(status: &'static str, kind: &'static str, body: String) -> String {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

#[test]
fn what_is_not_found_exits_with_four_and_gives_the_nodes_hint() {
    let home = tempfile::tempdir().unwrap();
    let problem = serde_json::json!({
        "type": "/problems/transaction-unknown", "title": "Unknown", "status": 404, "code": "transaction-unknown",
        "detail": "this node knows no such transaction", "hint": "ask another node",
    });
    let url = answering("404 Not Found", "application/problem+json", problem.to_string());
    let output = run(home.path(), &["tx", "show", &"ab".repeat(32), "--node", &url]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stderr(&output), "error: this node knows no such transaction\nhint: ask another node\n");
}

#[test]
fn a_transaction_that_never_appears_exits_with_six_and_names_it() {
    let home = tempfile::tempdir().unwrap();
    let problem = serde_json::json!({
        "type": "/problems/transaction-unknown", "title": "Unknown", "status": 404, "code": "transaction-unknown",
        "detail": "this node knows no such transaction",
    });
    let url = answering("404 Not Found", "application/problem+json", problem.to_string());
    let id = "ab".repeat(32);
    let output = run(home.path(), &["tx", "wait", &id, "--timeout", "1s", "--node", &url]);
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains(&id));
}

#[test]
fn a_node_shows_its_status_to_people_and_programs() {
    let home = tempfile::tempdir().unwrap();
    let status = serde_json::json!({
        "chain": "main", "genesis": "09".repeat(32), "node": "node-1.harlem", "role": "voter", "version": "0.1.0",
        "encryption_key": format!("x25519:{}", "08".repeat(32)), "height": 42, "header": "04".repeat(32),
        "time": "2026-11-21T10:00:00.000Z", "certified_height": 41, "epoch": 0,
        "voters": ["node-1.harlem", "node-1.kentucky"], "quorum": 2, "faults_tolerated": 0,
        "leader": "node-1.harlem", "peers": 1, "ready": true,
        "ordering": {
            "participation": "learning", "raft_id": 5, "joint": true, "change_pending": true,
            "change_pending_seconds": 7, "blocked_by": "node-1.ohio", "history_from": 40,
        },
        "storage": { "scrubbed": "2026-11-21T09:00:00.000Z", "files_damaged": 2 },
    });
    let url = answering("200 OK", "application/json", status.to_string());
    let shown = json(home.path(), &["node", "status", "--node", &url]);
    assert_eq!(shown, status);
    let text = done(home.path(), &["node", "status", "--node", &url]);
    assert!(text.contains("node       node-1.harlem (voter), version 0.1.0\n"), "{text}");
    assert!(text.contains("ordering   learning: catches up; its vote does not count yet (number 5)\n"), "{text}");
    assert!(text.contains("for 7 s now, two sets of voters hold at once; it waits for node-1.ohio\n"), "{text}");
    assert!(text.contains("history    whole from height 40 on\n"), "{text}");
    assert!(text.contains("height     42 at 2026-11-21 10:00:00, header 040404040404\n"), "{text}");
    assert!(text.contains("read again at 2026-11-21 09:00:00; 2 stored files changed or missing"), "{text}");
}

#[test]
fn contexts_are_added_chosen_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let add = |name, node| {
        json(home.path(), &["context", "add", name, "--node", node, "--as", "olga@harlem", "--password-file", "/p"])
    };
    assert_eq!(add("one", "http://127.0.0.1:7201")["current"], true, "the first is the current one");
    assert_eq!(add("two", "http://127.0.0.1:7202")["current"], false);
    assert_eq!(json(home.path(), &["context", "use", "two"])["node"], "http://127.0.0.1:7202");
    let list = json(home.path(), &["context", "list"]);
    assert_eq!(list["items"][0]["name"], "one");
    assert_eq!(list["items"][1]["current"], true);
    assert_eq!(list["items"][1]["account"], "olga@harlem");
    let again = run(home.path(), &["context", "add", "one", "--node", "http://127.0.0.1:1"]);
    assert_eq!(again.status.code(), Some(2), "a context is not replaced by mistake");
    done(home.path(), &["context", "remove", "two"]);
    assert_eq!(run(home.path(), &["context", "show"]).status.code(), Some(2));
    assert!(!std::fs::read_to_string(home.path().join("contexts.toml")).unwrap().contains("7202"));
}

#[test]
fn keys_are_made_listed_and_moved_without_a_prompt() {
    let home = tempfile::tempdir().unwrap();
    let password = home.path().join("password");
    std::fs::write(&password, "correct horse\n").unwrap();
    let mut permissions = std::fs::metadata(&password).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    std::fs::set_permissions(&password, permissions).unwrap();
    let password = password.to_str().unwrap();
    let made = json(home.path(), &["key", "new", "alice@harlem", "--password-file", password]);
    assert!(made["key"].as_str().unwrap().starts_with("ed25519:"));
    assert_eq!(json(home.path(), &["key", "list"])["items"][0], made);

    let exported = home.path().join("alice.json");
    done(home.path(), &["key", "export", "alice@harlem", exported.to_str().unwrap()]);
    let other = home.path().join("other");
    let imported =
        json(home.path(), &["key", "import", exported.to_str().unwrap(), "--keystore", other.to_str().unwrap()]);
    assert_eq!(imported, made);

    let again = run(home.path(), &["key", "new", "alice@harlem", "--password-file", password]);
    assert_eq!(again.status.code(), Some(1), "keys are never overwritten");
}

#[test]
fn a_password_that_cannot_be_asked_for_is_an_error_and_never_a_hang() {
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &["key", "new", "alice@harlem"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no terminal"), "{}", stderr(&output));
}

#[test]
fn a_genesis_template_is_written_once() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("genesis.toml");
    let file = file.to_str().unwrap();
    done(home.path(), &["genesis", "new", "--out", file]);
    assert!(std::fs::read_to_string(file).unwrap().starts_with("# The founding document"));
    assert_eq!(run(home.path(), &["genesis", "new", "--out", file]).status.code(), Some(1));
    assert_eq!(run(home.path(), &["genesis", "hash", file]).status.code(), Some(1), "unfilled keys are refused");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let mut child =
        galen(home.path()).args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn completions_exist_for_the_common_shells() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        assert!(done(home.path(), &["completions", shell]).contains("galen"), "{shell}");
    }
    assert_eq!(json(home.path(), &["version"])["version"], env!("CARGO_PKG_VERSION"));
}

/// The beginning of a path, and what is answered there.
type Answered = (&'static str, &'static str, fn() -> serde_json::Value);

/// A server that answers by path, for commands that ask several things.
fn serving(answers: &'static [Answered]) -> String {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
            stream.read_exact(&mut body).unwrap();
            let found = answers.iter().find(|(path, ..)| head.split(' ').nth(1).unwrap().starts_with(path));
            let (status, body) =
                found.map_or(("404 Not Found", serde_json::Value::Null), |(_, status, body)| (*status, body()));
            let (body, kind) = (body.to_string(), "application/json");
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

fn founding_document() -> galen_types::Genesis {
    galen_types::Genesis {
        chain: "main".parse().unwrap(),
        founded: galen_types::Timestamp(0),
        rules_version: 1,
        state_bucket_bits: 8,
        parameters: galen_types::Parameters::default(),
        members: Vec::new(),
    }
}

fn chain_status() -> serde_json::Value {
    serde_json::json!({
        "chain": "main", "genesis": founding_document().hash(), "node": "node-1.harlem", "role": "voter",
        "version": "0.1.0", "encryption_key": format!("x25519:{}", "08".repeat(32)), "height": 42,
        "header": "04".repeat(32), "time": "2026-11-21T10:00:00.000Z", "certified_height": 41, "epoch": 0,
        "voters": ["node-1.harlem"], "quorum": 1, "faults_tolerated": 0, "peers": 1, "ready": true,
    })
}

const PROPOSAL: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What the node of a member answers to an applicant.
const SPONSOR: &[Answered] = &[
    ("/v1/chain", "200 OK", chain_status),
    ("/v1/genesis", "200 OK", || serde_json::to_value(founding_document()).unwrap()),
    ("/v1/applications", "201 Created", || {
        serde_json::json!({
            "proposal": PROPOSAL, "sponsor": "node-1.harlem", "closes": "2026-12-01T10:00:00.000Z",
        })
    }),
    ("/v1/join/", "200 OK", || {
        serde_json::json!({
            "proposal": PROPOSAL, "state": "pending", "member": "ohio", "node": "node-1.ohio",
            "ballots": {"approvals": 1, "rejections": 0, "approvals_needed": 3, "members": 4},
            "closes": "2026-12-01T10:00:00.000Z", "height": 9, "node_time": "2026-11-21T10:00:00.000Z",
            "version": "0.1.0",
        })
    }),
];

fn password_in(home: &Path) -> String {
    let password = home.join("password");
    std::fs::write(&password, "correct horse\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    password.to_str().unwrap().to_owned()
}

#[test]
fn one_command_makes_keys_and_home_and_applies_and_done_again_it_says_where_that_stands() {
    let home = tempfile::tempdir().unwrap();
    let (password, node_home) = (password_in(home.path()), home.path().join("node"));
    let invitation = format!("{}#{}", serving(SPONSOR), founding_document().hash());
    let apply = |extra: &[&str]| {
        let node_home = node_home.to_str().unwrap();
        let arguments = [
            "member",
            "apply",
            &invitation,
            "--name",
            "ohio",
            "--node",
            "node-1",
            "--address",
            "/ip4/127.0.0.1/tcp/7401",
            "--offer",
            "voting,datasets",
            "--contact",
            "data office",
            "--home",
            node_home,
            "--password-file",
            &password,
        ];
        run(home.path(), &[arguments.as_slice(), extra].concat())
    };
    let first = apply(&["--json"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let applied: serde_json::Value = serde_json::from_str(&stdout(&first)).unwrap();
    assert_eq!((&applied["proposal"], &applied["state"]), (&PROPOSAL.into(), &"pending".into()));
    assert_eq!((&applied["administrator"], &applied["node"]), (&"admin@ohio".into(), &"node-1.ohio".into()));
    let join = std::fs::read_to_string(node_home.join("join.toml")).unwrap();
    assert!(join.contains(PROPOSAL) && join.contains(&invitation), "{join}");
    assert!(std::fs::read_to_string(node_home.join("node.toml")).unwrap().contains("/ip4/0.0.0.0/tcp/7401"));
    let key = json(home.path(), &["key", "show", "admin@ohio"]);
    assert!(key["key"].as_str().unwrap().starts_with("ed25519:"));
    assert_eq!(json(home.path(), &["context", "show"])["account"], "admin@ohio");

    let again = apply(&[]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert!(stderr(&again).contains("was sent before"));
    let text = stdout(&again);
    assert!(text.contains(applied["node_fingerprint"].as_str().unwrap()), "the keys are the same: {text}");
    assert!(text.contains(&format!("galen node run --home {}", node_home.display())), "{text}");
}

#[test]
fn an_invitation_to_another_chain_makes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (password, node_home) = (password_in(home.path()), home.path().join("node"));
    let invitation = format!("{}#{}", serving(SPONSOR), "11".repeat(32));
    let arguments = [
        "member",
        "apply",
        &invitation,
        "--name",
        "ohio",
        "--address",
        "/ip4/127.0.0.1/tcp/7401",
        "--home",
        node_home.to_str().unwrap(),
        "--password-file",
        &password,
    ];
    let output = run(home.path(), &arguments);
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("the node's chain is"), "{}", stderr(&output));
    assert!(!node_home.exists());
}

#[test]
fn leaving_is_never_done_by_mistake() {
    let home = tempfile::tempdir().unwrap();
    let password = password_in(home.path());
    done(home.path(), &["key", "new", "admin@harlem", "--password-file", &password]);
    let url = serving(SPONSOR);
    let output =
        run(home.path(), &["member", "leave", "--node", &url, "--as", "admin@harlem", "--password-file", &password]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint: say so with --yes"), "{}", stderr(&output));
}

#[test]
fn a_recovery_is_signed_merged_and_completed_by_the_first_signer_only() {
    let home = tempfile::tempdir().unwrap();
    let password = password_in(home.path());
    for account in ["admin@harlem", "admin@ohio"] {
        done(home.path(), &["key", "new", account, "--password-file", &password]);
    }
    let text = format!(
        "[recovery]\ngenesis = \"{}\"\nheight = 12\nheader = \"{}\"\nmade = \"2026-11-21T10:00:00.000Z\"\n\
         lineage = \"{}\"\nabandoned = [\"kentucky\"]\n\
         [[recovery.voters]]\nnode = \"node-1.harlem\"\nkey = \"ed25519:{}\"\n\
         [[recovery.voters]]\nnode = \"node-1.ohio\"\nkey = \"ed25519:{}\"\n",
        "0a".repeat(32),
        "0b".repeat(32),
        "00".repeat(32),
        "0c".repeat(32),
        "0d".repeat(32)
    );
    for copy in ["a.toml", "b.toml"] {
        std::fs::write(home.path().join(copy), &text).unwrap();
    }
    // In the working folder, as the default of --out is.
    let recovery = |arguments: &[&str], account: &str| {
        let global = ["--as", account, "--password-file", &password, "--json"];
        let mut command = galen(home.path());
        let output = command.current_dir(home.path()).arg("recovery").args(arguments).args(global).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(recovery(&["sign", "a.toml", "--yes"], "admin@harlem")["must_sign"], serde_json::json!(["ohio"]));
    let half = recovery(&["merge", "a.toml", "b.toml"], "admin@harlem");
    assert_eq!((&half["complete"], &half["must_sign"]), (&false.into(), &serde_json::json!(["ohio"])));
    recovery(&["sign", "b.toml", "--yes"], "admin@ohio");
    assert_eq!(recovery(&["merge", "a.toml", "b.toml"], "admin@ohio")["complete"], false, "ohio is not the first");
    assert_eq!(recovery(&["merge", "a.toml", "b.toml"], "admin@harlem")["complete"], true);
    let complete = std::fs::read_to_string(home.path().join("recovery.toml")).unwrap();
    assert!(complete.starts_with("transaction = "), "{complete}");
    // Typed twice it is the same file, and nobody takes it back by merging the parts anew.
    assert_eq!(recovery(&["merge", "a.toml", "b.toml"], "admin@harlem")["complete"], true);
    assert_eq!(std::fs::read_to_string(home.path().join("recovery.toml")).unwrap(), complete);
    let mut command = galen(home.path());
    let global = ["--as", "admin@ohio", "--password-file", &password];
    let merge = command.current_dir(home.path()).args(["recovery", "merge", "a.toml", "b.toml"]).args(global);
    let output = merge.output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("recovery.toml is there already"), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(home.path().join("recovery.toml")).unwrap(), complete);

    let apply = run(home.path(), &["recovery", "apply", "node", home.path().join("recovery.toml").to_str().unwrap()]);
    assert_eq!(apply.status.code(), Some(2));
    assert!(stderr(&apply).contains("--yes-abandon-the-old-quorum"), "{}", stderr(&apply));
}
