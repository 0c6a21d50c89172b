//! Pairs of sessions and management beside them, bounded: `make fuzz ARGS=--pairs` is the long one.

use plio_tests::fuzz::{Guard, Kind, Pairs, Tenants, run_pairs};

/// Steps in `make test`.
const STEPS: usize = 1200;

#[test]
fn no_order_of_two_sessions_and_management_lets_anybody_in() {
    let summary = run_pairs(&Pairs::new(20_261_128, STEPS, Tenants::OwnRole));
    assert!(summary.found.is_empty(), "{summary}");
    let count = |code| summary.outcomes.get(code).copied().unwrap_or(0);
    assert!(count("00000") > STEPS / 5 && count("42501") > 10 && count("55000") > 10, "{summary}");
}

#[test]
fn no_order_of_two_sessions_and_management_lets_anybody_into_adopted_tenants() {
    let summary = run_pairs(&Pairs::new(20_261_129, STEPS / 2, Tenants::Adopted));
    assert!(summary.found.is_empty(), "{summary}");
}

/// The control: without us foreign rows are read where privileges allow it.
#[test]
fn the_same_steps_leak_without_us() {
    let pairs = Pairs { guard: Guard::Off, until: Some(Kind::Leak), ..Pairs::new(7, 2000, Tenants::Adopted) };
    let summary = run_pairs(&pairs);
    assert!(summary.count_of(Kind::Leak) > 0, "{summary}");
}

/// The control for admissions: management says that it has suspended, revoked and renamed, and has not.
#[test]
fn a_tenant_that_is_not_closed_in_truth_is_found() {
    let pairs = Pairs { lies: true, until: Some(Kind::Admission), ..Pairs::new(8, 2000, Tenants::OwnRole) };
    let summary = run_pairs(&pairs);
    assert!(summary.count_of(Kind::Admission) > 0, "{summary}");
}
