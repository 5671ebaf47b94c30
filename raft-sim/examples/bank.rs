//! A bank that every server of a simulated cluster replicates. Money moves between accounts; whatever happens to network, disks and
//! machines, there is as much of it as there was, and nobody owes any.
//!
//!     cargo run --release --example bank -- run --seeds 0..200
//!
//! Step by step: `docs/state-machines.md`.

use std::process::ExitCode;

use raft_sim::{At, Random, StateMachine};

const ACCOUNTS: usize = 4;
const BALANCE: u64 = 10;

#[derive(Clone, PartialEq, Debug)]
struct Bank {
    accounts: [u64; ACCOUNTS],
}

/// Money goes from one account to another.
#[derive(Debug)]
struct Transfer {
    from: u8,
    to: u8,
    amount: u8,
}

#[derive(Clone, PartialEq, Debug)]
enum Output {
    Done,
    NotEnough,
}

impl Default for Bank {
    fn default() -> Self {
        Bank { accounts: [BALANCE; ACCOUNTS] }
    }
}

impl StateMachine for Bank {
    type Command = Transfer;
    type Output = Output;

    fn draw(&self, random: &mut Random) -> Transfer {
        let mut account = || random.below(ACCOUNTS as u64) as u8;
        let (from, to) = (account(), account());
        Transfer { from, to, amount: random.between(1, 9) as u8 }
    }

    fn encode(command: &Transfer) -> Vec<u8> {
        vec![command.from, command.to, command.amount]
    }

    fn decode(bytes: &[u8]) -> Option<Transfer> {
        let [from, to, amount] = *bytes else { return None };
        Some(Transfer { from, to, amount })
    }

    fn apply(&mut self, _at: At, command: Transfer) -> Output {
        let Transfer { from, to, amount } = command;
        let (from, to, amount) = (usize::from(from), usize::from(to), u64::from(amount));
        let Some(rest) = self.accounts[from].checked_sub(amount) else { return Output::NotEnough };
        self.accounts[from] = rest;
        self.accounts[to] += amount;
        Output::Done
    }

    fn snapshot(&self) -> Vec<u8> {
        self.accounts.iter().flat_map(|balance| balance.to_be_bytes()).collect()
    }

    fn restore(bytes: &[u8]) -> Result<Self, String> {
        let mut accounts = [0; ACCOUNTS];
        let (balances, []) = bytes.as_chunks::<8>() else { return Err("half a balance".to_owned()) };
        if balances.len() != ACCOUNTS {
            return Err(format!("{} balances", balances.len()));
        }
        for (account, balance) in accounts.iter_mut().zip(balances) {
            *account = u64::from_be_bytes(*balance);
        }
        Ok(Bank { accounts })
    }

    fn check(&self) -> Result<(), String> {
        let total: u64 = self.accounts.iter().sum();
        if total == BALANCE * ACCOUNTS as u64 { Ok(()) } else { Err(format!("there is {total} in all")) }
    }
}

fn main() -> ExitCode {
    raft_sim::main::<Bank>()
}

#[cfg(test)]
mod tests {
    use raft_sim::{Options, simulate};

    use super::*;

    #[test]
    fn total_stays() {
        let summary = simulate::<Bank>(0..60, &Options::default()).unwrap();
        let counts = summary.counts;
        assert!(counts.committed > 1_000 && counts.crashes > 100 && counts.restored > 20, "{counts:?}");
    }
}
