// Keeps the page up to date while somebody looks at it, and draws what is known of the last
// minutes. Texts of the sites reach the page as text only, never as markup.
"use strict";

const REFRESH = 2000;
const SPAN = 600;
// A line is not drawn over a longer time of which nothing is known, in seconds.
const LONGEST_GAP = 90;

const find = (name) => document.getElementById(name);

function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined && text !== null) made.textContent = text;
    return made;
}

function ago(seconds) {
    if (seconds < 60) return "just now";
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return `${Math.floor(seconds / 86400)} d ago`;
}

function shape(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
}

// The lines of one series: a new one after each gap.
function lines(className, times, values, now, top) {
    const all = [];
    let points = [];
    let last = null;
    times.forEach((time, index) => {
        const value = values[index];
        if (value === null || (last !== null && time - last > LONGEST_GAP)) {
            all.push(points);
            points = [];
        }
        if (value === null) return;
        const x = 600 - ((now - time) / SPAN) * 600;
        points.push(`${x.toFixed(1)},${(98 - (value / top) * 94).toFixed(1)}`);
        last = time;
    });
    all.push(points);
    return all
        .filter((some) => some.length > 0)
        // One point alone is as short as a line can be.
        .map((some) => (some.length === 1 ? [some[0], some[0].replace(/^[^,]*/, (x) => +x + 3)] : some))
        .map((some) => shape("polyline", { class: className, points: some.join(" ") }));
}

function plot(svg, series, times, now) {
    const known = [...series.busy, ...series.waiting].filter((value) => value !== null);
    const top = Math.max(1, ...known);
    const grid = [4, 98].map((y) => shape("line", { class: "grid", x1: 0, x2: 600, y1: y, y2: y }));
    svg.replaceChildren(
        ...(svg.classList.contains("total") ? grid : [grid[1]]),
        ...lines("busy", times, series.busy, now, top),
        ...lines("waiting", times, series.waiting, now, top),
    );
    return top;
}

function cell(row, name, className, text) {
    const made = element("td", className, text);
    made.dataset.name = name;
    row.append(made);
    return made;
}

function siteRow(site, data) {
    const row = element("tr");
    const name = element("th", null, site.name);
    name.scope = "row";
    row.append(name);
    const state = cell(row, "State", site.workers_wanted === null ? "only" : null);
    state.append(element("span", site.level, site.state));
    if (site.problem) state.append(element("span", "reason", site.problem));
    const workers = site.workers_wanted === null ? null : `${site.workers_ready} of ${site.workers_wanted}`;
    cell(row, "Workers", "number", workers);
    cell(row, "Busy", "number", site.workers_busy);
    cell(row, "Waiting", "number", site.waiting);
    cell(row, "Requests/s", "number", site.requests_per_second);
    cell(row, "Requests", "number", site.requests);
    cell(row, "Errors", "number", site.errors);
    const histories = data.history.sites;
    const series = Object.hasOwn(histories, site.name) && histories[site.name];
    const small = cell(row, "Last 10 minutes", "wide");
    if (series) {
        const svg = shape("svg", { class: "small", viewBox: "0 0 600 100", preserveAspectRatio: "none" });
        svg.setAttribute("role", "img");
        svg.setAttribute("aria-label", `Busy and waiting of ${site.name}`);
        plot(svg, series, data.history.at, data.at);
        small.append(svg);
    }
    const reload = cell(row, "Last reload", "wide");
    if (site.last_reload !== null) {
        const when = ago(data.at - site.last_reload);
        const failed = site.last_reload_failure !== null;
        reload.append(element("span", failed ? "bad" : null, failed ? `failed ${when}` : when));
        if (failed) reload.append(element("span", "reason", site.last_reload_failure));
    }
    return row;
}

function show(data) {
    // What somebody reads stays where it was scrolled to.
    const read = [...document.querySelectorAll(".reason")].map((reason) => reason.scrollTop);
    find("sites").replaceChildren(...data.sites.map((site) => siteRow(site, data)));
    document.querySelectorAll(".reason").forEach((reason, index) => {
        reason.scrollTop = read[index] || 0;
    });
    find("summary").textContent = data.summary;
    const top = plot(find("total"), data.history, data.history.at, data.at);
    find("top").textContent = `${top}`;
    find("plot").hidden = false;
}

async function refresh() {
    if (document.hidden) return;
    try {
        const response = await fetch("data.json", { signal: AbortSignal.timeout(15000) });
        if (!response.ok) throw new Error(response.statusText);
        show(await response.json());
        find("problem").hidden = true;
    } catch {
        find("problem").hidden = false;
    }
}

async function run() {
    for (;;) {
        await refresh();
        await new Promise((resolve) => setTimeout(resolve, REFRESH));
    }
}

for (const only of document.querySelectorAll(".script")) only.hidden = false;
document.addEventListener("visibilitychange", refresh);
run();
