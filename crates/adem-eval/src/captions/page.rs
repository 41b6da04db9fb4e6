//! An evaluation as one HTML file that needs nothing else.

use std::fmt::Write;

use super::report::{CaptionReport, Judged};

/// What every page begins with.
pub const PAGE_BEGINS: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n";

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0}td+td{text-align:right}\
article{display:flex;gap:1rem;margin:1.2rem 0;flex-wrap:wrap}\
article>div{flex:1 1 18rem}article>.look{flex:0 0 auto;display:flex;gap:.3rem}\
.look>div{width:var(--w);height:var(--h);background:var(--p) center/100% 100%}\
svg{display:block;width:100%;height:100%}\
.ours{font-weight:600;margin:0}ul{margin:.3rem 0;padding-left:1.2rem}\
small{opacity:.7}";

impl CaptionReport {
    /// The report as an HTML page: scores, then every picture with our caption, those of people and
    /// its CIDEr-D, the worst first. Pictures are inside the file where the evaluation kept them, again
    /// for every scale with what the adaptive masking dropped most often in the dark.
    pub fn html(&self) -> String {
        let title = escaped(&self.title());
        let mut page = format!(
            "{PAGE_BEGINS}<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n<table>\n"
        );
        let mut put = |text: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = page.write_fmt(text);
        };
        for (name, value) in self.rows() {
            put(format_args!("<tr><td>{name}<td>{value}\n"));
        }
        put(format_args!("</table>\n"));
        let mut captions: Vec<&Judged> = self.captions.iter().collect();
        captions.sort_by(|a, b| a.metrics.cider.total_cmp(&b.metrics.cider));
        for judged in captions {
            put(format_args!("<article>\n"));
            if let Some(shown) = &judged.shown {
                put(format_args!("{}", shown.html(&escaped(&judged.caption))));
            }
            put(format_args!(
                "<div><p class=\"ours\">{}</p><small>{}, CIDEr-D {:.1}</small>\n<ul>\n",
                escaped(&judged.caption),
                escaped(&judged.id),
                100.0 * judged.metrics.cider
            ));
            for reference in &judged.references {
                put(format_args!("<li>{}\n", escaped(reference.trim())));
            }
            put(format_args!("</ul></div>\n</article>\n"));
        }
        put(format_args!("</html>\n"));
        page
    }
}

/// Text as it stands in HTML, attributes included.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::captions::Metrics;
    use crate::captions::shown::Shown;
    use adem_data::image::RgbImage;

    #[test]
    fn a_page_holds_pictures_and_texts_as_they_are_and_the_worst_first() {
        let wide = RgbImage::from_pixel(400, 100, image::Rgb([10, 200, 30]));
        let judged = |id: &str, cider| Judged {
            id: id.to_owned(),
            caption: format!("<b>{id}</b> & \"more\""),
            references: vec!["a <script>".to_owned()],
            metrics: Metrics {
                cider,
                ..Metrics::default()
            },
            shown: Shown::new(&wide, &[], &[]),
        };
        let report = CaptionReport {
            model: "m".to_owned(),
            data: "d".to_owned(),
            pictures: 2,
            stopped: false,
            seconds: 1.0,
            metrics: Metrics::default(),
            distinct: 1.0,
            captions: vec![judged("good", 2.0), judged("bad", 0.5)],
        };
        let html = report.html();
        assert!(html.find("bad, CIDEr-D 50.0").unwrap() < html.find("good, CIDEr-D").unwrap());
        assert_eq!(html.matches("url(data:image/jpeg;base64,").count(), 2);
        assert!(html.contains("&lt;b&gt;bad&lt;/b&gt; &amp; &quot;more&quot;"));
        assert!(!html.contains("<script>") && !html.contains("<b>"));
    }
}
