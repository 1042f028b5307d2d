//! Images from real packages. These need the package mirror, so they run only when asked for:
//! `cargo test -p image -- --ignored`.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use image::{Cache, Error, Image, Progress, Recipe, Variant, without};

fn build(cache: &Cache, recipe: &Recipe) -> image::Result<Image> {
    cache.ensure(recipe, &AtomicBool::new(false), &mut |_| ())
}

#[test]
#[ignore = "needs the package mirror"]
fn two_builds_of_the_same_packages_are_equal() {
    let mut recipe = Recipe::new("trixie", Variant::Extract, &["gron"]);
    recipe.keep_docs = true;
    let digests = [(), ()].map(|()| {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(dir.path())).unwrap();
        let image = build(&cache, &recipe).unwrap();
        assert!(image.root.join("usr/bin/gron").is_file());
        assert!(image.root.join("usr/share/man/man1/gron.1.gz").is_file());
        let gron = image
            .packages
            .iter()
            .find(|package| package.name == "gron")
            .unwrap();
        assert!(cache.package(&gron.sha256).unwrap().is_file());
        image.verify().unwrap();

        let mut called = false;
        cache
            .ensure(&recipe, &AtomicBool::new(false), &mut |_| called = true)
            .unwrap();
        assert!(!called, "the second time there is nothing to do");

        let less = without(&cache, &image, &["gron".into()]).unwrap();
        assert!(!less.root.join("usr/bin/gron").exists());
        image.content_digest
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
#[ignore = "needs the package mirror"]
fn what_the_mirror_lacks_is_named_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(dir.path())).unwrap();
    for package in ["gron=0.7.0-9", "no-such-package"] {
        let error =
            build(&cache, &Recipe::new("trixie", Variant::Extract, &[package])).unwrap_err();
        assert!(
            matches!(&error, Error::PackageNotFound { package: found, .. } if found == package),
            "{error}"
        );
        assert_eq!(
            std::fs::read_dir(dir.path().join("images"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
#[ignore = "needs the package mirror"]
fn an_interrupted_build_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(dir.path())).unwrap();
    let cancel = AtomicBool::new(false);
    let mut place = None;
    let mut progress = |progress: Progress| {
        let Progress::Output(line) = progress else {
            return;
        };
        let quoted = |line: &str| {
            Some(
                line.split_once("using ")?
                    .1
                    .split_once(" as tempdir")?
                    .0
                    .to_owned(),
            )
        };
        place = place.take().or_else(|| quoted(&line));
        if line.contains("downloading packages") {
            cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let recipe = Recipe::new("trixie", Variant::Extract, &["gron"]);
    let error = cache.ensure(&recipe, &cancel, &mut progress).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert_eq!(
        std::fs::read_dir(dir.path().join("images"))
            .unwrap()
            .count(),
        0
    );
    let place = place.expect("the builder names its temporary directory");
    assert!(!Path::new(&place).exists(), "{place} is left");
}
