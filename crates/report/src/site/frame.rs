//! What all pages of the site have in common.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::page;

const STYLE: &str = include_str!("../../assets/site.css");

/// One page.
pub(super) struct Page<'a> {
    /// Its title.
    pub(super) title: &'a str,
    /// Small text above it: where the page belongs.
    pub(super) crumb: &'a str,
    /// From the page to the top of the site: empty or `../`.
    pub(super) up: &'a str,
    /// Which entry of the menu it belongs to.
    pub(super) here: &'a str,
    /// What stands below the title.
    pub(super) body: Markup,
}

/// The menu: files and what they are called.
const MENU: [(&str, &str); 7] = [
    ("index.html", "Leaderboard"),
    ("tasks.html", "Tasks"),
    ("targets.html", "Targets"),
    ("runs.html", "Runs"),
    ("memorization.html", "Memorization"),
    ("method.html", "Method"),
    ("data.html", "Data"),
];

impl Page<'_> {
    /// `more` are entries of the menu besides those that every site has.
    pub(super) fn write(&self, more: &[(&str, &str)]) -> String {
        let style = page::STYLE.to_owned() + STYLE;
        let policy = format!(
            "default-src 'none'; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
            page::source(&style)
        );
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    meta name="generator" content=(concat!("mirrorcode ", env!("CARGO_PKG_VERSION")));
                    title { (self.title) " - mirrorcode" }
                    link rel="icon" href="data:,";
                    style { (PreEscaped(style)) }
                }
                body.site {
                    a.skip href="#main" { "Skip to the content" }
                    nav.way aria-label="Site" {
                        a.brand href=(format!("{}index.html", self.up)) { "mirrorcode" }
                        ul {
                            @for (file, name) in MENU.iter().chain(more) {
                                li { a href=(format!("{}{file}", self.up)) aria-current=[(*file == self.here).then_some("page")] { (name) } }
                            }
                        }
                    }
                    main #main {
                        header {
                            p.crumb { (self.crumb) }
                            h1 { (self.title) }
                        }
                        (self.body)
                    }
                    footer {
                        "Written by mirrorcode " (env!("CARGO_PKG_VERSION")) ". Every figure can be made again from the rows in "
                        a href=(format!("{}data.html", self.up)) { "Data" } "."
                    }
                }
            }
        };
        page.into_string()
    }
}

/// A table that a narrow screen scrolls.
pub(super) fn scroll(name: &str, table: Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(name) { (table) } }
}
