use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::without;

/// An image made by hand, so that no test needs a mirror.
fn make(cache: &Cache, digest: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<Image> {
    cache.obtain(
        digest,
        &AtomicBool::new(false),
        &mut |_| (),
        |partial, _| {
            let tree = partial.join(TREE);
            fs::create_dir(&tree).unwrap();
            fill(&tree)?;
            let Content {
                digest: content_digest,
                bytes,
            } = digest::of_tree(&Root::new(&tree), &BTreeMap::new())?;
            let (about, digest) = ("by hand".into(), digest.to_owned());
            let (base, packages, sealed) = (None, Vec::new(), BTreeMap::new());
            Ok(Manifest {
                digest,
                content_digest,
                bytes,
                about,
                base,
                packages,
                sealed,
            })
        },
    )
}

fn name(letter: &str) -> String {
    letter.repeat(64)
}

fn cache() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(dir.path())).unwrap();
    (dir, cache)
}

#[test]
fn one_of_many_makes_it_and_all_get_it() {
    let (_dir, cache) = cache();
    let (made, waited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut progress = |progress| {
                    if matches!(progress, Progress::Waiting { .. }) {
                        waited.fetch_add(1, Ordering::Relaxed);
                    }
                };
                let image = cache.obtain::<Error>(
                    &name("a"),
                    &AtomicBool::new(false),
                    &mut progress,
                    |partial, _| {
                        made.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(300));
                        fs::create_dir(partial.join(TREE)).unwrap();
                        let (digest, content_digest, about) = (name("a"), name("b"), String::new());
                        let (base, packages, sealed) = (None, Vec::new(), BTreeMap::new());
                        Ok(Manifest {
                            digest,
                            content_digest,
                            bytes: 0,
                            about,
                            base,
                            packages,
                            sealed,
                        })
                    },
                );
                assert!(image.unwrap().root.is_dir());
            });
        }
    });
    assert_eq!((made.into_inner(), waited.into_inner()), (1, 3));
}

#[test]
fn a_failure_leaves_nothing_and_the_next_try_works() {
    let (dir, cache) = cache();
    let failed = make(&cache, &name("a"), |tree| {
        fs::write(tree.join("half"), "").unwrap();
        Err(Error::Interrupted)
    });
    assert!(matches!(failed, Err(Error::Interrupted)));
    assert_eq!(fs::read_dir(dir.path().join("images")).unwrap().count(), 0);
    make(&cache, &name("a"), |_| Ok(())).unwrap();
    assert_eq!(cache.list().unwrap().len(), 1);
}

#[test]
fn opening_removes_what_a_killed_process_left() {
    let (dir, _) = cache();
    let stale = dir
        .path()
        .join("images")
        .join(format!(".partial-{}", name("a")));
    fs::create_dir_all(stale.join("root/deep")).unwrap();
    let cache = Cache::open(Some(dir.path())).unwrap();
    assert!(!stale.exists());
    assert!(cache.list().unwrap().is_empty());
}

#[test]
fn an_image_in_use_is_not_removed() {
    let (_dir, cache) = cache();
    let image = make(&cache, &name("a"), |_| Ok(())).unwrap();
    let clone = image.clone();
    drop(image);
    assert!(matches!(cache.remove(&name("a")), Err(Error::InUse { .. })));
    drop(clone);
    cache.remove(&name("a")).unwrap();
    assert!(matches!(
        cache.remove(&name("a")),
        Err(Error::NoSuchImage(_))
    ));
    assert!(matches!(
        cache.remove("../locks"),
        Err(Error::NoSuchImage(_))
    ));
}

#[test]
fn without_shares_every_other_file() {
    let (_dir, cache) = cache();
    let base = make(&cache, &name("a"), |tree| {
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        for program in ["jq", "sed"] {
            fs::write(tree.join("usr/bin").join(program), program).unwrap();
        }
        symlink("jq", tree.join("usr/bin/query")).unwrap();
        symlink("usr/bin", tree.join("bin")).unwrap();
        Ok(())
    })
    .unwrap();
    let less = without(&cache, &base, &["jq".into(), "gron".into()]).unwrap();
    let names = |image: &Image| {
        let mut names: Vec<_> = fs::read_dir(image.root.join("bin"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&less), ["sed"]);
    assert_eq!(names(&base), ["jq", "query", "sed"]);
    let inode = |image: &Image| fs::metadata(image.root.join("usr/bin/sed")).unwrap().ino();
    assert_eq!(inode(&less), inode(&base));
    less.verify().unwrap();
    base.verify().unwrap();
    assert_ne!(less.content_digest, base.content_digest);

    let again = without(&cache, &base, &["gron".into(), "jq".into()]).unwrap();
    assert_eq!(again.digest, less.digest);
    assert_eq!(
        without(&cache, &base, &["gron".into()]).unwrap().digest,
        base.digest,
        "nothing to take"
    );
    assert!(without(&cache, &base, &["../jq".into()]).is_err());
}

#[test]
fn other_directories_do_not_meet_the_caches_own() {
    let (dir, cache) = cache();
    assert_eq!(cache.dir("docs").unwrap(), dir.path().join("docs"));
    for bad in ["images", "packages", "locks", "", "..", "a/b"] {
        assert!(cache.dir(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_sealed_file_is_named_by_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    normalise::normalise(&root, false).unwrap();
    let mut recipe = Recipe::new("trixie", Variant::Extract, &["gron"]);
    recipe.files = vec![crate::ExtraFile {
        path: "/bin/a".into(),
        mode: 0o111,
        bytes: b"x".to_vec(),
    }];
    normalise::add(&root, &recipe.files, &[]).unwrap();
    let sealed = sealed(&recipe, &root).unwrap();
    assert_eq!(sealed.keys().collect::<Vec<_>>(), ["usr/bin/a"]);
    assert_eq!(
        sealed["usr/bin/a"],
        digest::of_reader(&mut &b"x"[..]).unwrap()
    );
}
