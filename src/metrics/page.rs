//! The page for people, as it is without a script, and its data as JSON, with which the script
//! keeps it up to date. What a site says is escaped in both.

use crate::history::{Columns, SPAN};
use crate::rows::{Row, summary};
use serde::Serialize;
use std::fmt::Write;

pub const STYLE: &str = include_str!("page.css");
pub const SCRIPT: &str = include_str!("page.js");

#[derive(Debug, Serialize)]
struct Data<'a> {
    /// In seconds since 1970.
    at: u64,
    summary: String,
    sites: &'a [Row],
    history: Columns,
}

pub fn json(rows: &[Row], history: Columns, now: u64) -> String {
    let data = Data {
        at: now,
        summary: summary(rows),
        sites: rows,
        history,
    };
    // Strings and numbers always serialize.
    serde_json::to_string(&data).unwrap_or_default()
}

pub fn html(rows: &[Row], now: u64) -> String {
    let title = escaped(&summary(rows));
    let body: String = rows.iter().map(|row| table_row(row, now)).collect();
    let head = |(name, class): (&str, &str)| format!("<th{class} scope=\"col\">{name}</th>");
    let heads = COLUMNS.map(head).concat();
    let minutes = SPAN / 60;
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<noscript><meta http-equiv="refresh" content="10"></noscript>
<title>rgunicorn: all sites</title>
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
</head>
<body>
<header>
<h1>rgunicorn</h1>
<p id="summary">{title}</p>
<p id="problem" class="bad" hidden>rgunicorn-metrics does not answer. What is below is old; it is asked again.</p>
</header>
<figure id="plot" hidden>
<figcaption><b>All sites</b><span><i class="busy"></i>workers that are busy</span><span><i class="waiting"></i>connections that wait</span></figcaption>
<div class="axis"><span id="top"></span></div>
<svg id="total" class="total" viewBox="0 0 600 100" preserveAspectRatio="none" role="img" aria-label="Busy workers and waiting connections of all sites"></svg>
<div class="axis"><span>{minutes} minutes ago</span><span>now</span></div>
</figure>
<table>
<thead><tr>{heads}</tr></thead>
<tbody id="sites">
{body}</tbody>
</table>
<footer>
<p class="script" hidden>The plots show what rgunicorn-metrics has seen since it started, of the last {minutes} minutes at most: it looks while a page like this is open and when Prometheus asks, keeps nothing else, and exits when nobody asks.</p>
<noscript><p>This page is loaded again every 10 seconds. With JavaScript it also has plots.</p></noscript>
<p>For Prometheus: <a href="metrics">metrics</a>. As JSON: <a href="data.json">data.json</a>.</p>
</footer>
</body>
</html>
"#
    )
}

/// The names of the columns and the class of their heads.
const COLUMNS: [(&str, &str); 10] = [
    ("Site", ""),
    ("State", ""),
    ("Workers", " class=\"number\""),
    ("Busy", " class=\"number\""),
    ("Waiting", " class=\"number\""),
    ("Requests/s", " class=\"number\""),
    ("Requests", " class=\"number\""),
    ("Errors", " class=\"number\""),
    ("Last 10 minutes", " class=\"script\" hidden"),
    ("Last reload", ""),
];

fn table_row(row: &Row, now: u64) -> String {
    let mut html = format!("<tr><th scope=\"row\">{}</th>", escaped(&row.name));
    let class = row.level.class();
    let state = format!(
        "<span class=\"{class}\">{}</span>{}",
        escaped(&row.state),
        reason(row.problem.as_deref())
    );
    let workers = (row.workers_ready.zip(row.workers_wanted))
        .map(|(ready, wanted)| format!("{ready} of {wanted}"));
    let reload = row.last_reload.map(|at| {
        let when = ago(now.saturating_sub(at));
        match &row.last_reload_failure {
            None => format!("<span>{when}</span>"),
            Some(failure) => {
                format!(
                    "<span class=\"bad\">failed {when}</span>{}",
                    reason(Some(failure))
                )
            }
        }
    });
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    for (name, class, text) in [
        (
            "State",
            if workers.is_none() { "only" } else { "" },
            Some(state),
        ),
        ("Workers", "number", workers),
        ("Busy", "number", number(row.workers_busy)),
        ("Waiting", "number", number(row.waiting)),
        ("Requests/s", "number", number(row.requests_per_second)),
        ("Requests", "number", number(row.requests)),
        ("Errors", "number", number(row.errors)),
        ("Last reload", "wide", reload),
    ] {
        let text = text.unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<td data-name=\"{name}\" class=\"{class}\">{text}</td>"
        );
    }
    html.push_str("</tr>\n");
    html
}

fn reason(text: Option<&str>) -> String {
    text.map(|text| format!("<span class=\"reason\">{}</span>", escaped(text)))
        .unwrap_or_default()
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// As text of an element, or as the value of an attribute in quotes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::row;
    use rgunicorn_control::site::{Site, State};

    #[test]
    fn what_a_site_says_is_no_markup() {
        let site = |state| Site {
            name: Some("<script>alert(1)</script>".into()),
            state,
        };
        let evil = "</span><img src=x onerror='a(\"b\")'>&amp;";
        let mut failed = row(&site(State::Waiting));
        failed.last_reload = Some(1);
        failed.last_reload_failure = Some(evil.into());
        failed.state = evil.into();
        let silent = row(&site(State::Silent(evil.into())));

        let page = html(&[failed, silent], 100);

        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!page.contains("<img"), "{page}");
        let shown = "&lt;/span&gt;&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;amp;";
        assert_eq!(page.matches(shown).count(), 3, "{page}");
    }

    #[test]
    fn the_script_makes_the_same_columns() {
        for (name, _) in &COLUMNS[1..] {
            assert!(SCRIPT.contains(&format!("\"{name}\"")), "{name}");
        }
        assert!(SCRIPT.contains(&format!("const SPAN = {SPAN};")));
        // It must not make markup of texts.
        for way in [
            "innerHTML",
            "insertAdjacent",
            "document.write",
            "eval",
            "outerHTML",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }

    #[test]
    fn ages_are_rounded_down() {
        for (seconds, text) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 min ago"),
            (7199, "1 h ago"),
            (200_000, "2 d ago"),
        ] {
            assert_eq!(ago(seconds), text);
        }
    }
}
