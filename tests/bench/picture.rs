//! The picture: one change by the number of connections, in milliseconds and as ratios, both axes logarithmic.

use std::fmt::Write as _;

use crate::change::{FLOOR, SWANCTL, TCP};
use crate::race::Spread;
use crate::report::{Contest, figure};

/// The panels, from the top left corner of the first; all in pixels.
const PANEL: (f64, f64) = (400.0, 300.0);
const CORNERS: [(f64, f64); 2] = [(70.0, 80.0), (600.0, 80.0)];
/// Distinct also to the colour-blind (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#56b4e9", "#000000", "#999999", "#d55e00", "#009e73"];

/// A line of a panel: its name, its colour, and a spread for each size.
struct Line {
    name: String,
    colour: &'static str,
    points: Vec<(u32, Spread)>,
}

/// The picture of the contests about one change, `None` if there are none.
pub fn draw(contests: &[Contest], machine: &str) -> Option<String> {
    let changes: Vec<_> = contests.iter().filter(|contest| contest.key == "change").collect();
    let first = changes.first()?;
    let line = |i: usize| Line {
        name: first.entries[i].name.clone(),
        colour: COLOURS[i % COLOURS.len()],
        points: changes.iter().map(|contest| (contest.size, contest.entries[i].spread())).collect(),
    };
    let times: Vec<_> = (0..first.entries.len()).map(line).collect();
    let ratios = ratios(&changes);
    let mut svg = head(machine);
    panel(&mut svg, CORNERS[0], "milliseconds until the answer", &times);
    panel(&mut svg, CORNERS[1], "ratios", &ratios);
    svg.push_str("</svg>\n");
    Some(svg)
}

/// How many times the floor the agent takes, and how many times the agent swanctl does.
fn ratios(changes: &[&Contest]) -> Vec<Line> {
    let line = |over, under, colour| {
        let of = |contest: &Contest| contest.entry(over).against(contest.entry(under));
        let points = changes.iter().map(|contest| (contest.size, of(contest))).collect();
        Line { name: format!("{over} ÷ {under}"), colour, points }
    };
    vec![line(TCP, FLOOR, COLOURS[0]), line(SWANCTL, TCP, COLOURS[4])]
}

fn head(machine: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1060\" height=\"560\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"1060\" height=\"560\" fill=\"white\"/>\n\
         <text x=\"70\" y=\"28\" font-size=\"16\">One ChangeIPsecConnection, by the number of connections loaded</text>\n\
         <text x=\"70\" y=\"47\" fill=\"#555\">medians and quartiles; {}</text>\n",
        escaped(machine)
    )
}

/// A logarithmic axis: whole decades around the values, and the pixels that they take.
struct Axis {
    decades: (i32, i32),
    pixels: (f64, f64),
}

impl Axis {
    fn around(values: impl Iterator<Item = f64> + Clone, pixels: (f64, f64)) -> Self {
        let (low, high) = (values.clone().fold(f64::MAX, f64::min), values.fold(f64::MIN_POSITIVE, f64::max));
        #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a time or a size is small")]
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        Self { decades: (first, last.max(first + 1)), pixels }
    }

    fn place(&self, value: f64) -> f64 {
        let ((first, last), (start, end)) = (self.decades, self.pixels);
        start + (end - start) * (value.log10() - f64::from(first)) / f64::from(last - first)
    }

    fn marks(&self) -> impl Iterator<Item = f64> {
        (self.decades.0..=self.decades.1).map(|decade| 10_f64.powi(decade))
    }
}

fn panel(svg: &mut String, (left, top): (f64, f64), title: &str, lines: &[Line]) {
    let (right, bottom) = (left + PANEL.0, top + PANEL.1);
    let points = || lines.iter().flat_map(|line| &line.points);
    let across = Axis::around(points().map(|(size, _)| f64::from(*size)), (left, right));
    let up = Axis::around(points().flat_map(|(_, spread)| [spread.low, spread.high]), (bottom, top));
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>", top - 6.0);
    for mark in up.marks() {
        let y = up.place(mark);
        let _ = writeln!(svg, "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>");
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>", left - 6.0, y + 4.0);
    }
    for mark in across.marks() {
        let x = across.place(mark);
        let _ = writeln!(svg, "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#ddd\"/>");
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{mark}</text>", bottom + 16.0);
    }
    let middle = f64::midpoint(left, right);
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{:.0}\" text-anchor=\"middle\">connections</text>", bottom + 32.0);
    figures(svg, lines, right, &up);
    for (i, line) in lines.iter().enumerate() {
        curve(svg, line, &across, &up);
        let y = bottom + 56.0 + 18.0 * f64::from(u8::try_from(i).unwrap_or(u8::MAX));
        let (text, own) = (escaped(&line.name), line.colour);
        let _ = writeln!(svg, "<path d=\"M{left} {:.0}h24\" stroke=\"{own}\" stroke-width=\"3\"/>", y - 4.0);
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{y:.0}\">{text}</text>", left + 32.0);
    }
}

/// The medians, joined, with a bar from quartile to quartile.
fn curve(svg: &mut String, line: &Line, across: &Axis, up: &Axis) {
    let own = line.colour;
    let mut path = String::new();
    for (size, Spread { low, middle, high }) in &line.points {
        let (x, y) = (across.place(f64::from(*size)), up.place(*middle));
        let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { 'M' } else { 'L' });
        let (bottom, top) = (up.place(*low), up.place(*high));
        let _ = writeln!(svg, "<path d=\"M{x:.1} {bottom:.1}V{top:.1}\" stroke=\"{own}\" stroke-width=\"2\"/>");
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{own}\"/>");
    }
    let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{own}\" stroke-width=\"1.5\"/>");
}

/// The last figure of each line, at its right end, from the top down and none over another.
fn figures(svg: &mut String, lines: &[Line], right: f64, up: &Axis) {
    let last = |line: &Line| Some((up.place(line.points.last()?.1.middle), line.points.last()?.1.middle, line.colour));
    let mut ends: Vec<_> = lines.iter().filter_map(last).collect();
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = f64::MIN;
    for (place, value, colour) in ends {
        let y = (place + 4.0).max(free);
        free = y + 13.0;
        let _ = writeln!(svg, "<text x=\"{:.0}\" y=\"{y:.1}\" fill=\"{colour}\">{}</text>", right + 8.0, figure(value));
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
