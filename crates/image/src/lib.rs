//! Root filesystems by content hash, from Debian packages or a directory, and sources from registries of packages.
//!
//! A [`Recipe`] says what a root filesystem holds; [`Cache::ensure`] builds it once, in a cache directory that
//! processes share, and hands out an [`Image`]. An image is a plain directory tree that its user owns, readable by
//! everyone and without set-id bits, devices or traces of the machine that built it, so that two builds of the same
//! packages have the same [`content_digest`](Image::content_digest).
//!
//! Architecture invariants:
//! - this crate does not know what an image is for: no language, target or agent is named in it;
//! - a directory under `images/` without a leading dot is complete: it appears by one rename after it was synced;
//! - nothing in a finished image is changed, since [`without`] shares its files by hard links;
//! - links inside a tree are resolved inside that tree, never by the kernel on the host.

mod builder;
mod cache;
mod carry;
mod child;
mod diagnose;
mod digest;
mod elf;
mod entries;
mod error;
mod fetch;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod install;
mod lock;
mod made;
mod normalise;
mod origin;
mod packages;
mod partial;
mod progress;
mod prune;
mod recipe;
mod root;
mod unpack;
mod without;

pub use cache::{Cache, CachedImage};
pub use carry::Held;
pub use error::{Error, Result};
pub use image::Image;
pub use install::Installed;
pub use origin::{Origin, Registry};
pub use packages::Package;
pub use progress::Progress;
pub use recipe::{ExtraFile, Recipe, Variant};
pub use without::without;
