//! Claims, leases, and who finds out what.

use super::*;

const PACE: Pace = Pace {
    beat: Duration::from_millis(20),
    lease: Duration::from_millis(400),
};

/// Turns the holder of an epoch into one of another machine.
fn elsewhere(dir: &Path, epoch: u64) {
    let epochs = Epochs::of(dir);
    let worker = Worker {
        host: "elsewhere".to_owned(),
        boot: Some("another".to_owned()),
        ..epochs.worker(epoch).unwrap()
    };
    fs::write(epochs.claim(epoch), serde_json::to_vec(&worker).unwrap()).unwrap();
}

#[test]
fn one_of_many_wins_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let won: Vec<_> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| claim_at(dir.path(), Manner::Polite, PACE).ok()))
            .collect();
        claims
            .into_iter()
            .filter_map(|claim| claim.join().unwrap())
            .collect()
    });
    assert_eq!(won.len(), 1);
    let Claimed { owner, clean } = won.into_iter().next().unwrap();
    owner.begin().unwrap();
    assert!(clean && owner.renew().is_ok());
    let error = claim_at(dir.path(), Manner::Polite, PACE).unwrap_err();
    assert!(matches!(error, Error::Held { .. }), "{error}");
    owner.release();
    let next = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
    assert_eq!((next.owner.epoch(), next.clean), (2, true));
}

#[test]
fn the_older_finds_out_and_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let old = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
    let right = old.right();
    std::thread::scope(|scope| {
        let newer = scope.spawn(|| claim_at(dir.path(), Manner::Take, PACE).unwrap());
        while right.check().is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = right.renew().unwrap_err().to_string();
        assert!(error.contains("was taken over by process"), "{error}");
        assert!(!newer.is_finished(), "it begins before the older one ended");
        old.release();
        let newer = newer.join().unwrap();
        assert!(newer.clean);
        assert!(newer.owner.renew().is_ok());
    });
}

#[test]
fn another_machines_worker_is_believed_by_its_lease_alone() {
    let dir = tempfile::tempdir().unwrap();
    let old = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
    elsewhere(dir.path(), 1);
    let error = claim_at(dir.path(), Manner::Polite, PACE).unwrap_err();
    assert!(matches!(error, Error::Held { .. }), "{error}");
    assert!(seems_held(dir.path()));
    // It is cut off without a word.
    drop(old);
    let begun = Instant::now();
    let next = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
    assert!(begun.elapsed() >= PACE.lease);
    assert!(!next.clean, "it may come back");
}

#[test]
fn a_process_that_died_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    drop(claim_at(dir.path(), Manner::Polite, PACE).unwrap());
    let epochs = Epochs::of(dir.path());
    let mut worker = epochs.worker(1).unwrap();
    worker.started = Some(1);
    fs::write(epochs.claim(1), serde_json::to_vec(&worker).unwrap()).unwrap();
    let begun = Instant::now();
    let next = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
    assert!(next.clean && begun.elapsed() < PACE.lease);
}

/// One that died before it had put the journal out of a silent worker's reach changed nothing about that.
#[test]
fn silence_is_remembered_until_somebody_has_begun() {
    let dir = tempfile::tempdir().unwrap();
    let first = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
    first.begin().unwrap();
    drop(first);
    elsewhere(dir.path(), 1);
    let second = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
    assert!(!second.clean);
    second.owner.release();
    let third = claim_at(dir.path(), Manner::Polite, PACE).unwrap();
    assert!(!third.clean);
    third.owner.begin().unwrap();
    third.owner.release();
    assert!(claim_at(dir.path(), Manner::Polite, PACE).unwrap().clean);
}

#[test]
fn of_several_that_take_the_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    let first = claim_at(dir.path(), Manner::Polite, PACE).unwrap().owner;
    // It never ends by itself, but it is silent once it knows.
    let results: Vec<_> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| claim_at(dir.path(), Manner::Take, PACE)))
            .collect();
        let joined = claims.into_iter().map(|claim| claim.join().unwrap());
        joined.collect()
    });
    let highest = Epochs::of(dir.path()).highest("").unwrap();
    assert_eq!(highest, 5);
    let mut own = 0;
    for result in results {
        match result {
            Ok(claimed) if claimed.owner.epoch() == highest => {
                own += 1;
                assert!(!claimed.clean);
                claimed.owner.renew().unwrap();
            }
            Ok(claimed) => assert!(claimed.owner.check().is_err()),
            Err(error) => assert!(matches!(error, Error::Lost { .. }), "{error}"),
        }
    }
    assert_eq!(own, 1);
    assert!(first.check().is_err());
}
