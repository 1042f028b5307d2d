//! Drawings of the site: estimates with their intervals in a row, and curves of success, as SVG with a text for those who
//! do not see them.

use maud::{Markup, html};

/// Colours and dashes that curves are told apart by.
pub(super) const CURVES: usize = 6;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 54.0;
/// Runs that must have come as far as a curve is drawn.
pub(super) const LEAST: u64 = 5;
/// Steps that are drawn of one curve.
const DRAWN: usize = 400;

fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// An estimate from 0 to 1 with its interval, small enough for a table's cell. What it says stands beside it as text.
pub(super) fn interval(estimate: f64, ends: Option<(f64, f64)>) -> Markup {
    let x = |share: f64| 2.0 + 116.0 * share.clamp(0.0, 1.0);
    html! {
        svg.forest viewBox="0 0 120 18" aria-hidden="true" focusable="false" {
            line.base x1="2" x2="118" y1="9" y2="9" {}
            @for quarter in 0..=4 {
                @let at = x(f64::from(quarter) / 4.0);
                line.base x1=(at) x2=(at) y1="6" y2="12" {}
            }
            @if let Some((low, high)) = ends {
                line.range x1=(place(x(low))) x2=(place(x(high))) y1="9" y2="9" {}
            }
            circle cx=(place(x(estimate))) cy="9" r="4" {}
        }
    }
}

/// One curve: its name, and where it rises to what, in order.
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) steps: Vec<(f64, f64)>,
    /// Where the longest run ended: there the curve ends.
    pub(super) end: f64,
}

/// Curves of success over an axis whose steps are factors.
pub(super) struct Plot<'a> {
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) axis: &'a str,
    pub(super) write: fn(f64) -> String,
    pub(super) curves: Vec<Curve>,
}

impl Plot<'_> {
    pub(super) fn draw(&self) -> Markup {
        let drawn = &self.curves[..self.curves.len().min(CURVES)];
        let spent = drawn
            .iter()
            .flat_map(|curve| curve.steps.iter().map(|(at, _)| *at));
        let first = spent.filter(|at| *at > 0.0).fold(f64::INFINITY, f64::min);
        let last = drawn.iter().map(|curve| curve.end).fold(0.0, f64::max);
        if !first.is_finite() || last <= 0.0 {
            return html! { p.gone { "Too few runs were solved, so there is nothing to draw." } };
        }
        let (first, last) = (first / 1.25, last.max(first * 2.0));
        let scale = (last / first).ln();
        let x = |at: f64| {
            LEFT + (WIDTH - LEFT - RIGHT) * ((at.max(first) / first).ln() / scale).clamp(0.0, 1.0)
        };
        let y = |share: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share.clamp(0.0, 1.0));
        let (title, text) = (format!("{}-title", self.id), format!("{}-text", self.id));
        html! {
            figure {
                svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(format!("{title} {text}")) {
                    title id=(title) { (self.title) }
                    desc id=(text) { (self.says(drawn)) }
                    g.grid {
                        @for quarter in 0..=4 {
                            @let at = y(f64::from(quarter) / 4.0);
                            line x1=(LEFT) x2=(WIDTH - RIGHT) y1=(place(at)) y2=(place(at)) {}
                            text x=(LEFT - 8.0) y=(place(at + 4.0)) text-anchor="end" { (quarter * 25) " %" }
                        }
                        @for (number, tick) in ticks(first, last).into_iter().enumerate() {
                            line x1=(place(x(tick))) x2=(place(x(tick))) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 5.0) {}
                            text.odd[number % 2 == 1] x=(place(x(tick))) y=(HEIGHT - BOTTOM + 21.0) text-anchor="middle" { ((self.write)(tick)) }
                        }
                        text.axis x=(place((LEFT + WIDTH - RIGHT) / 2.0)) y=(HEIGHT - 8.0) text-anchor="middle" { (self.axis) }
                    }
                    @for (number, curve) in drawn.iter().enumerate() {
                        polyline class=(format!("c{number}")) points=(line(curve, &x, &y)) {}
                    }
                }
                figcaption.curves {
                    @for (number, curve) in drawn.iter().enumerate() {
                        span {
                            svg.key viewBox="0 0 34 10" aria-hidden="true" focusable="false" { polyline class=(format!("c{number}")) points="1,5 33,5" {} }
                            (curve.name)
                        }
                    }
                    @if self.curves.len() > drawn.len() { span { "the first " (drawn.len()) " of " (self.curves.len()) } }
                }
            }
        }
    }

    fn says(&self, drawn: &[Curve]) -> String {
        let mut text = "Share of runs that are solved by what they spend.".to_owned();
        for curve in drawn {
            match curve.steps.last() {
                None => text.push_str(&format!(" {}: no run was solved.", curve.name)),
                Some((at, share)) => {
                    let half = curve.steps.iter().find(|(_, share)| *share >= 0.5);
                    text.push_str(&format!(
                        " {}: {:.0} % by {}",
                        curve.name,
                        100.0 * share,
                        (self.write)(*at)
                    ));
                    if let Some((at, _)) = half {
                        text.push_str(&format!(", half by {}", (self.write)(*at)));
                    }
                    text.push('.');
                }
            }
        }
        text
    }
}

fn line(curve: &Curve, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let step = curve.steps.len().div_ceil(DRAWN).max(1);
    let last = curve.steps.len().saturating_sub(1);
    let mut text = format!("{},{}", place(LEFT), place(y(0.0)));
    let mut share = 0.0;
    for (number, (at, next)) in curve.steps.iter().enumerate() {
        if number % step == 0 || number == last {
            let at = place(x(*at));
            text.push_str(&format!(
                " {at},{} {at},{}",
                place(y(share)),
                place(y(*next))
            ));
            share = *next;
        }
    }
    text.push_str(&format!(" {},{}", place(x(curve.end)), place(y(share))));
    text
}

/// 1, 2 and 5 times powers of ten between two numbers; of many, powers of ten alone.
fn ticks(first: f64, last: f64) -> Vec<f64> {
    let powers = first.log10().floor() as i32..=last.log10().ceil() as i32;
    let factors: &[f64] = if powers.clone().count() > 4 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    powers
        .flat_map(|power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        })
        .filter(|tick| (first..=last).contains(tick))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_round_numbers() {
        assert_eq!(ticks(0.8, 30.0), [1.0, 2.0, 5.0, 10.0, 20.0]);
        for (first, last) in [(0.01, 900.0), (1e5, 3e9), (1.0, 2.0), (3.1, 4.0)] {
            assert!(ticks(first, last).len() < 16);
        }
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let plot = |curves| Plot {
            id: "p",
            title: "t",
            axis: "hours",
            write: |at| at.to_string(),
            curves,
        };
        assert!(
            plot(Vec::new())
                .draw()
                .into_string()
                .contains("nothing to draw")
        );
        let curve = Curve {
            name: "<m>".to_owned(),
            steps: vec![(1.0, 0.25), (2.0, 0.75)],
            end: 4.0,
        };
        let drawn = plot(vec![curve]).draw().into_string();
        assert!(drawn.contains("&lt;m&gt;: 75 % by 2, half by 2."));
        assert!(!drawn.contains("NaN"));
    }
}
