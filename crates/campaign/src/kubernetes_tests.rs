use std::ffi::OsString;

use super::*;

fn options() -> KubernetesOptions {
    KubernetesOptions {
        image: Some("registry.example/mirrorcode:1".to_owned()),
        program: Some("/usr/local/bin/mirrorcode".into()),
        namespace: Some("evals".to_owned()),
        claim: Some("shared".to_owned()),
        storage: Some("500Gi".to_owned()),
        secrets: vec!["model-keys".to_owned()],
        at_once: Some(2),
        ..KubernetesOptions::default()
    }
}

fn kubernetes(dir: &Path, options: KubernetesOptions) -> Result<Kubernetes, Error> {
    let runs: OsString = dir.join("runs").into();
    let command = Command {
        program: "/opt/mirrorcode".into(),
        arguments: vec!["campaign".into(), "work".into(), "--runs".into(), runs],
    };
    let resources = Resources {
        cores: 2,
        memory_mib: 5000,
        parallel: None,
    };
    let options = KubernetesOptions {
        mount: options.mount.or_else(|| Some(dir.to_owned())),
        ..options
    };
    let directory = dir.join("runs/Pilot_1.campaign");
    Kubernetes::new(command, "Pilot_1", &directory, options, resources)
}

/// What differs from run to run of the test.
fn redacted(dir: &Path, files: &[(String, String)]) -> String {
    let batch = files[1].0.strip_prefix("job-").unwrap();
    let batch = batch.strip_suffix(".yaml").unwrap();
    let text: String = files
        .iter()
        .map(|(name, text)| format!("# {name}\n{text}"))
        .collect();
    text.replace(batch, "BATCH")
        .replace(&dir.display().to_string(), "/shared")
}

#[test]
fn manifests_are_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut kubernetes = kubernetes(dir.path(), options()).unwrap();
    let files = kubernetes.manifests(&["one", "two", "three"]).unwrap();
    let text = redacted(dir.path(), &files);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kubernetes_tests.yaml");
    if std::env::var_os("MIRRORCODE_UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap());
    let list = fs::read_dir(dir.path().join("runs/Pilot_1.campaign/batches")).unwrap();
    let list = list.map(|entry| entry.unwrap().path()).next().unwrap();
    assert_eq!(fs::read_to_string(list).unwrap(), "one\ntwo\nthree\n");
}

#[test]
fn what_pods_cannot_do_without_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let said = |options| kubernetes(dir.path(), options).unwrap_err().to_string();
    let without = |change: fn(&mut KubernetesOptions)| {
        let mut options = options();
        change(&mut options);
        said(options)
    };
    let missing = without(|options| options.image = None);
    assert!(missing.contains("`image` is missing"), "{missing}");
    let missing = without(|options| options.claim = None);
    assert!(missing.contains("`claim` is missing"), "{missing}");
    let elsewhere = without(|options| options.mount = Some("/elsewhere".into()));
    assert!(elsewhere.contains("is not below /elsewhere"), "{elsewhere}");
    let program = without(|options| options.program = None);
    assert!(
        program.contains("/opt/mirrorcode is not below"),
        "{program}"
    );
}

#[test]
fn many_attempts_are_several_jobs_and_names_are_kubernetes_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut kubernetes = kubernetes(dir.path(), options()).unwrap();
    let ids: Vec<String> = (0..2500).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let files = kubernetes.manifests(&ids).unwrap();
    assert_eq!(files.len(), 4);
    assert!(files[3].1.contains("completions: 500\n"), "{}", files[3].1);
    assert!(files[3].1.contains("  name: \"pilot-1-"), "{}", files[3].1);
    assert_eq!(plain("-A b.c_d-"), "a-b-c-d");
    assert_eq!(label("_A b.c_d-"), "A-b.c_d");
    assert!(label(&"x".repeat(100)).len() == 63 && plain(&"x".repeat(100)).len() == 30);
}

#[test]
fn a_cluster_says_which_attempts_it_has() {
    assert_eq!(indexes("0,3-5"), BTreeSet::from([0, 3, 4, 5]));
    assert_eq!(indexes(""), BTreeSet::new());
    assert_eq!(indexes("0-99999999999").len(), INDEXES);
    assert_eq!(indexes("x,1-y,-,7"), BTreeSet::from([7]));
    let pods = json!({ "items": [
        { "metadata": { "labels": { BATCH: "b", INDEX: "1" } }, "status": { "phase": "Running" } },
        { "metadata": { "labels": { BATCH: "b", INDEX: "2" } }, "status": { "phase": "Pending" } },
        { "metadata": { "labels": { BATCH: "b" }, "annotations": { INDEX: "3" } }, "status": { "phase": "Running" } },
        { "metadata": {}, "status": {} },
        7,
    ] });
    let expected = BTreeSet::from([("b".to_owned(), 1), ("b".to_owned(), 3)]);
    assert_eq!(running(&pods), expected);
    assert!(running(&json!({})).is_empty());
}
