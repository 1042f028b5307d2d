//! Charts as SVG: lines over an axis that grows to the right, shares from 0 to 100 per cent upwards.

use maud::{Markup, html};

/// Size of the drawing, in its own units; the page scales it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 52.0;
/// Points that are drawn of one line.
const DRAWN: usize = 600;

/// What a point looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Dot,
    Square,
    Diamond,
}

/// A line, or points without one.
pub(crate) struct Series<'a> {
    /// Style class: `s1`, `s2`, ...
    pub(crate) class: &'a str,
    pub(crate) mark: Mark,
    pub(crate) line: bool,
    /// Place on the axis, share from 0 to 1, and what the point says when somebody asks.
    pub(crate) points: Vec<(f64, f64, String)>,
}

/// A chart of shares.
pub(crate) struct Chart<'a> {
    /// Makes ids unique on the page.
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    /// What the chart shows, in a sentence or two, for those who do not see it.
    pub(crate) description: &'a str,
    pub(crate) axis: &'a str,
    /// Where the axis ends.
    pub(crate) end: f64,
    /// How a number on the axis is written.
    pub(crate) write: &'a dyn Fn(f64) -> String,
    pub(crate) series: Vec<Series<'a>>,
}

/// Steps of 1, 2 or 5 times a power of ten, of which four to eight reach `end`.
pub(crate) fn ticks(end: f64, whole: bool) -> Vec<f64> {
    if !(end.is_finite() && end > 0.0) {
        return vec![0.0];
    }
    let rough = end / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.8)
        .unwrap_or(rough);
    let step = if whole { step.max(1.0) } else { step };
    let mut ticks = Vec::new();
    while ticks.len() as f64 * step <= end * 1.0001 {
        ticks.push(ticks.len() as f64 * step);
    }
    ticks
}

impl Chart<'_> {
    pub(crate) fn draw(&self, whole: bool) -> Markup {
        let end = if self.end > 0.0 { self.end } else { 1.0 };
        let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * (value / end).clamp(0.0, 1.0);
        let y = |share: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0));
        let (title, description) = (format!("{}-title", self.id), format!("{}-text", self.id));
        // In SVG an element that is not closed holds all that follows, so none is left open.
        html! {
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(format!("{title} {description}")) {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                g.grid {
                    @for quarter in 0..=4 {
                        @let share = f64::from(quarter) / 4.0;
                        line x1=(LEFT) x2=(WIDTH - RIGHT) y1=(place(y(share))) y2=(place(y(share))) {}
                        text x=(LEFT - 8.0) y=(place(y(share) + 4.0)) text-anchor="end" { (quarter * 25) " %" }
                    }
                    @for (number, tick) in ticks(end, whole).into_iter().enumerate() {
                        line.tick x1=(place(x(tick))) x2=(place(x(tick))) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 5.0) {}
                        text.odd[number % 2 == 1] x=(place(x(tick))) y=(HEIGHT - BOTTOM + 20.0) text-anchor="middle" { ((self.write)(tick)) }
                    }
                    text.axis x=(place((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 8.0) text-anchor="middle" { (self.axis) }
                }
                @for series in &self.series {
                    g class=(series.class) {
                        @if series.line && series.points.len() > 1 {
                            polyline points=(self.line(series, &x, &y)) {}
                        }
                        @for (value, share, says) in thin(&series.points) {
                            (mark(series.mark, x(*value), y(*share), says))
                        }
                    }
                }
            }
        }
    }

    fn line(&self, series: &Series<'_>, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
        let mut text = String::new();
        for (value, share, _) in thin(&series.points) {
            text.push_str(&format!("{},{} ", place(x(*value)), place(y(*share))));
        }
        text.trim_end().to_owned()
    }
}

/// Up to [`DRAWN`] points, evenly, the first and the last among them.
fn thin(points: &[(f64, f64, String)]) -> impl Iterator<Item = &(f64, f64, String)> {
    let step = points.len().div_ceil(DRAWN).max(1);
    let last = points.len().saturating_sub(1);
    points
        .iter()
        .enumerate()
        .filter(move |(number, _)| number % step == 0 || *number == last)
        .map(|(_, point)| point)
}

fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

fn mark(mark: Mark, x: f64, y: f64, says: &str) -> Markup {
    html! {
        @match mark {
            Mark::Dot => circle cx=(place(x)) cy=(place(y)) r="3.5" { title { (says) } },
            Mark::Square => rect x=(place(x - 5.0)) y=(place(y - 5.0)) width="10" height="10" { title { (says) } },
            Mark::Diamond => path d=(format!("M{} {}l7 7l-7 7l-7-7z", place(x), place(y - 7.0))) { title { (says) } },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_round_numbers() {
        for (end, whole, expected) in [
            (
                5000.0,
                true,
                &[0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0][..],
            ),
            (3.0, true, &[0.0, 1.0, 2.0, 3.0]),
            (0.0, true, &[0.0]),
            (1.0, false, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ] {
            let found = ticks(end, whole);
            assert_eq!(found.len(), expected.len(), "{end}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{end}: {found}");
            }
        }
        for end in [1e-9, 0.017, 7.0, 83.0, 1e9, 123_456_789.0] {
            assert!((4..=9).contains(&ticks(end, false).len()), "{end}");
        }
        assert_eq!(ticks(f64::NAN, false), [0.0]);
    }

    #[test]
    fn a_long_line_is_drawn_in_bounded_space() {
        let points = (0..100_000)
            .map(|n| (f64::from(n), 0.5, String::new()))
            .collect();
        let chart = Chart {
            id: "c",
            title: "t",
            description: "<d>",
            axis: "turns",
            end: 100_000.0,
            write: &|value| format!("{value}"),
            series: vec![Series {
                class: "s1",
                mark: Mark::Dot,
                line: true,
                points,
            }],
        };
        let markup = chart.draw(true).into_string();
        assert!(markup.len() < 100_000);
        assert!(markup.contains("&lt;d&gt;"));
    }
}
