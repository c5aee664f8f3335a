//! Properties that hold for all values: what is written is read back, and what is hostile is refused or kept exactly.
//! The numbers of cases are small and fixed, and nothing is left behind in the tree: the seed is the test run's.

#[path = "properties/bytes.rs"]
mod bytes;
#[path = "properties/conditions.rs"]
mod conditions;
#[path = "properties/coverage.rs"]
mod coverage;
#[path = "properties/files.rs"]
mod files;
#[path = "properties/flow.rs"]
mod flow;
#[path = "properties/generate.rs"]
mod generate;
#[path = "properties/identities.rs"]
mod identities;
#[path = "support/identities.rs"]
mod measured;
#[path = "properties/passes.rs"]
mod passes;
#[path = "properties/records.rs"]
mod records;
#[path = "properties/secrets.rs"]
mod secrets;
#[path = "properties/weakness.rs"]
mod weakness;

use proptest::test_runner::Config;

/// `cases` cases, and no file of failures.
fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}
