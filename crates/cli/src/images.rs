//! The images that tasks need, and `mirrorcode image`.

use image::{Image, Recipe, Variant};
use target::{Language, Target};

use crate::args::ImageCommand;
use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal::{self, Progress};

/// Shows how an image comes along.
pub(crate) fn show(progress: &mut Progress, step: &image::Progress) {
    match step {
        image::Progress::Package(_) | image::Progress::Output(_) => {}
        step => progress.stage(&step.to_string()),
    }
}

/// Gets an image, and takes programs of the target's names out of it.
fn get(context: &Context, recipe: &Recipe, absent: &[String]) -> Result<Image, Failure> {
    let cache = context.cache()?;
    let mut progress = Progress::new();
    let image = cache.ensure(recipe, &context.interrupted, &mut |step| {
        show(&mut progress, &step)
    })?;
    progress.finish();
    Ok(image::without(&cache, &image, absent)?)
}

fn recipe(variant: Variant, packages: &[String]) -> Recipe {
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    Recipe::new(target::SUITE, variant, &packages)
}

fn toolchain(language: &Language, packages: &[String]) -> Recipe {
    let mut recipe = recipe(Variant::Minimal, packages);
    recipe.finish.clone_from(&language.build_finish);
    recipe
}

/// Where agents work; `more` packages are those that one of them wants.
pub(crate) fn for_agent(
    context: &Context,
    language: &Language,
    more: &[String],
    target: &Target,
) -> Result<Image, Failure> {
    let more = more
        .iter()
        .filter(|name| !language.agent_packages.contains(name));
    let packages: Vec<String> = language
        .agent_packages
        .iter()
        .chain(more)
        .cloned()
        .collect();
    get(
        context,
        &toolchain(language, &packages),
        &target.spec.absent,
    )
}

/// Where submissions are built.
pub(crate) fn for_build(
    context: &Context,
    language: &Language,
    target: &Target,
) -> Result<Image, Failure> {
    get(
        context,
        &toolchain(language, &language.build_packages),
        &target.spec.absent,
    )
}

/// Where submissions run.
pub(crate) fn for_runtime(
    context: &Context,
    language: &Language,
    target: &Target,
) -> Result<Image, Failure> {
    let mut recipe = recipe(Variant::Extract, &language.runtime_packages);
    recipe.executables = Some(language.runtime_executables.clone());
    recipe.finish.clone_from(&language.runtime_finish);
    get(context, &recipe, &target.spec.absent)
}

/// A Debian package with one program in it, for prebuilt submissions.
pub(crate) fn for_package(
    context: &Context,
    package: &str,
    program: &str,
) -> Result<Image, Failure> {
    let mut recipe = recipe(Variant::Extract, &[package.to_owned()]);
    recipe.executables = Some(vec![program.to_owned()]);
    get(context, &recipe, &[])
}

/// The C library and what compilers of other languages link to, for a prebuilt program of this machine.
pub(crate) fn for_prebuilt(context: &Context) -> Result<Image, Failure> {
    let packages = ["libc6", "libgcc-s1", "libstdc++6"].map(str::to_owned);
    let mut recipe = recipe(Variant::Extract, &packages);
    recipe.executables = Some(Vec::new());
    get(context, &recipe, &[])
}

pub(crate) fn run(context: &Context, command: &ImageCommand) -> Answer {
    let cache = context.cache()?;
    let images = cache.list()?;
    match command {
        ImageCommand::List { json: true } => terminal::json(
            &images
                .iter()
                .map(|image| {
                    serde_json::json!({
                        "digest": image.digest,
                        "content": image.content_digest,
                        "about": image.about,
                        "bytes": image.bytes,
                        "packages": image.packages,
                    })
                })
                .collect::<Vec<_>>(),
        ),
        ImageCommand::List { json: false } => {
            let mut table = terminal::table(&["image", "MB", "packages", "what"]);
            for image in &images {
                table.add_row([
                    image.digest[..12].to_owned(),
                    (image.bytes / 1_000_000).to_string(),
                    image.packages.to_string(),
                    image.about.clone(),
                ]);
            }
            terminal::print_table(&table);
        }
        ImageCommand::Remove { all: true, .. } => {
            for image in &images {
                cache.remove(&image.digest)?;
            }
            terminal::line(&format!("{} images removed", images.len()));
        }
        ImageCommand::Remove { digest, .. } => {
            let start = digest.as_deref().unwrap_or_default();
            let found: Vec<_> = images
                .iter()
                .filter(|image| image.digest.starts_with(start))
                .collect();
            match found[..] {
                [image] => cache.remove(&image.digest)?,
                [] => return Err(Failure::usage(format!("no image begins with {start}"))),
                _ => {
                    return Err(Failure::usage(format!(
                        "several images begin with {start}; give more of it"
                    )));
                }
            }
        }
    }
    Ok(exit::DONE)
}
