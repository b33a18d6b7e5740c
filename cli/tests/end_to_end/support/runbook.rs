//! The operators' pages, read as scripts: what stands in an indented block is typed by the tests as it stands there.

use std::path::Path;

use super::Cluster;

/// The commands under a heading of a page, block by block.
pub(crate) struct Section {
    heading: String,
    blocks: std::vec::IntoIter<String>,
}

impl Section {
    /// The section of a page in `docs/`.
    pub(crate) fn of(page: &str, heading: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let blocks = blocks_under(&text, heading);
        assert!(!blocks.is_empty(), "{page} has no commands under `{heading}`");
        Self { heading: heading.to_owned(), blocks: blocks.into_iter() }
    }

    /// The next block.
    pub(crate) fn next(&mut self) -> String {
        self.blocks.next().unwrap_or_else(|| panic!("`{}` has no more commands", self.heading))
    }

    /// The same without its first blocks, which are typed elsewhere.
    pub(crate) fn skip(mut self, blocks: usize) -> Self {
        for _ in 0..blocks {
            self.next();
        }
        self
    }

    /// That the next block starts the node of `NODE_HOME`; starts it as a process that goes on.
    pub(crate) fn launch(&mut self, cluster: &Cluster, node: &str) {
        assert_eq!(self.next(), "galen node run --home \"$NODE_HOME\"\n");
        cluster.launch(node);
    }

    /// That every block was typed.
    pub(crate) fn done(self) {
        assert_eq!(self.blocks.as_slice(), &[] as &[String], "`{}` has commands that no test typed", self.heading);
    }
}

fn blocks_under(text: &str, heading: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block = String::new();
    let mut inside = false;
    for line in text.lines().chain(["## end"]) {
        if let Some(title) = line.strip_prefix("## ") {
            if inside && !block.is_empty() {
                blocks.push(std::mem::take(&mut block));
            }
            inside = title == heading;
            continue;
        }
        match line.strip_prefix("    ") {
            Some(command) if inside => {
                block.push_str(command);
                block.push('\n');
            }
            _ if inside && !block.is_empty() => blocks.push(std::mem::take(&mut block)),
            _ => {}
        }
    }
    blocks
}

#[test]
fn blocks_are_the_indented_lines_under_their_heading() {
    let text = "## One\n\ntext\n\n    a\n    b \\\n        c\n\nmore\n\n    d\n\n## Two\n\n    e\n";
    assert_eq!(blocks_under(text, "One"), ["a\nb \\\n    c\n", "d\n"]);
    assert_eq!(blocks_under(text, "Two"), ["e\n"]);
}

/// Every section with commands is typed by a test; whether it is typed to its end, [`Section::done`] says there.
#[test]
fn no_section_of_the_runbook_is_left_out() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = std::fs::read_dir(manifest.join("tests/end_to_end")).unwrap().map(|entry| entry.unwrap().path());
    let tests: String =
        tests.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let text = std::fs::read_to_string(manifest.join("../docs/runbook.md")).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    let mut typed = 0;
    for heading in headings.filter(|heading| !blocks_under(&text, heading).is_empty()) {
        assert!(tests.contains(&format!("Section::of(\"runbook.md\", \"{heading}\")")), "no test types `{heading}`");
        typed += 1;
    }
    assert!(typed >= 8, "{typed} sections");
}
