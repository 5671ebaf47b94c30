//! Goal: `raftd bench` measures what it says, and says it in one line of JSON. Method: the shortest run; no figure is judged,
//! only that there is one and that they fit each other.

mod raftd;

use raftd::{free_ports, run, stderr, stdout};
use serde_json::Value;

#[tokio::test]
async fn bench_prints_figures_that_fit_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (data, port) = (folder.path().to_str().unwrap(), free_ports(3).to_string());
    let output = run(&["bench", "--data", data, "--http-port", &port, "--seconds", "1", "--json"]).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = stdout(&output);
    assert_eq!(lines.len(), 1);
    let figures: Value = serde_json::from_str(&lines[0]).unwrap();
    let raw = figures["raw_syncs_per_second"].as_f64().unwrap();
    assert!(0.0 < raw);
    for (nth, clients) in [(0, 1), (1, 64)] {
        let run = &figures["runs"][nth];
        assert_eq!(run["clients"], clients);
        let per_second = run["acknowledged_per_second"].as_f64().unwrap();
        let fraction = run["fraction_of_raw_syncs"].as_f64().unwrap();
        assert!(0.0 < per_second);
        assert!(run["retries"].is_u64(), "it may have some, and has to say so");
        assert!((fraction * raw - per_second).abs() < 1e-6 * per_second);
        assert!(run["median_microseconds"].as_u64().unwrap() <= run["p99_microseconds"].as_u64().unwrap());
    }
    let reads = figures["reads"].as_array().unwrap();
    for (reads, (clients, at)) in
        reads.iter().zip([(1, "leader"), (1, "followers"), (64, "leader"), (64, "followers")])
    {
        assert_eq!((&reads["clients"], &reads["at"]), (&clients.into(), &at.into()));
        let per_second = reads["answered_per_second"].as_f64().unwrap();
        let answered = reads["answered"].as_f64().unwrap();
        assert!(0.0 < answered);
        assert!((per_second * reads["seconds"].as_f64().unwrap() - answered).abs() < 1e-6 * answered);
        assert!(reads["retries"].is_u64());
        assert!(
            reads["median_microseconds"].as_u64().unwrap() <= reads["p99_microseconds"].as_u64().unwrap()
        );
    }
    assert_eq!(reads.len(), 4);
    let nowhere = folder.path().join("no/such/folder");
    let refused = run(&["bench", "--data", nowhere.to_str().unwrap(), "--http-port", &port]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains(nowhere.to_str().unwrap()), "{}", stderr(&refused));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
