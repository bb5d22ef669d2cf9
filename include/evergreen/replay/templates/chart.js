// Draws a model's history on one time line: errors, drift and rows above, decisions and incidents below.
const chart = JSON.parse(document.getElementById("chart-data").textContent);
const probe = document.body.appendChild(document.createElement("i"));
const colour = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
const [errorHeight, panelHeight, laneHeight, gap] = [300, 72, 26, 40];
const margin = {t: 64, b: 44, l: 128, r: 16};
const heights = [errorHeight, panelHeight, panelHeight, ...chart.lanes.map(names => names.length * laneHeight)];
const inner = heights.reduce((sum, height) => sum + height) + (heights.length - 1) * gap;
const tops = heights.map((_, i) => 1 - (heights.slice(0, i).reduce((sum, height) => sum + height, 0) + i * gap) / inner);
const axis = i => ({domain: [Math.max(0, tops[i] - heights[i] / inner), tops[i]], anchor: "x", fixedrange: true,
  zeroline: false, gridcolor: colour("grid")});
const panel = i => ({...axis(i), rangemode: "tozero", nticks: 4, tickformat: "~s"});
const lanes = i => ({...axis(i + 3), range: [chart.lanes[i].length - 0.5, -0.5],
  tickvals: chart.lanes[i].map((_, lane) => lane), ticktext: chart.lanes[i]});
const upright = {yref: "paper", y0: 0, y1: 1, layer: "below"};
const family = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif";
const green = colour("green");

// Lines that stand too close for two labels keep the first one's; the mark in its lane tells the other.
const [first, last] = chart.span.map(Date.parse);
let labelled = -Infinity;
const promotions = chart.promotions.map(([at, version]) => {
  const apart = (Date.parse(at) - labelled) / (last - first) > 32 / Math.min(innerWidth, 1150);
  if (apart) labelled = Date.parse(at);
  return {...upright, type: "line", x0: at, x1: at, line: {color: green, width: 1, dash: "dash"},
    label: {text: apart ? version : "", textposition: "end", textangle: 0, xanchor: "center", yanchor: "bottom", font: {color: green}}};
});
const bands = chart.bands.map(([x0, x1]) => ({...upright, type: "rect", x0, x1, line: {width: 0}, fillcolor: colour("band")}));
// One batch far out would flatten all others; its bar ends at the top, and tells how far.
const farthest = Math.max(1.5, ...chart.traces.filter(trace => trace.yaxis === "y4").flatMap(trace => trace.y));
const limit = {type: "line", xref: "paper", x0: 0, x1: 1, yref: "y4", y0: 1, y1: 1, line: {color: colour("amber"), width: 1, dash: "dot"}};
const headings = [chart.metric, "input drift", "rows", "decisions", "incidents"].map((name, i) => ({text: `<b>${name}</b>`,
  xref: "paper", yref: "paper", x: 0, y: tops[i], xshift: 8 - margin.l, xanchor: "left", yanchor: "bottom", showarrow: false}));
const known = chart.traces.some(trace => !trace.yaxis && trace.y.some(error => error !== null));
const silent = known ? [] : [{text: "no error is known in this span", xref: "paper",
  yref: "paper", x: 0.5, y: tops[0] - heights[0] / inner / 2, showarrow: false}];

Plotly.newPlot("chart", chart.traces, {
  paper_bgcolor: "rgba(0, 0, 0, 0)", plot_bgcolor: "rgba(0, 0, 0, 0)",
  height: inner + margin.t + margin.b, margin, barmode: "overlay", hovermode: "closest",
  font: {family, size: 12, color: colour("ink")},
  hoverlabel: {align: "left", bgcolor: colour("paper"), bordercolor: colour("line"), font: {family, size: 12, color: colour("ink")}},
  // On a narrow screen its rows would cover the chart; each point tells its version.
  showlegend: innerWidth > 700,
  legend: {orientation: "h", x: 0, y: 1, yref: "container", yanchor: "top"},
  xaxis: {type: "date", range: chart.span, anchor: "y3", showgrid: false, linecolor: colour("line"), ticks: "outside",
    tickcolor: colour("line"), showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "dot", spikecolor: colour("soft")},
  yaxis: {...axis(0), rangemode: "tozero", showticklabels: known, showgrid: known}, yaxis2: lanes(0), yaxis3: lanes(1),
  yaxis4: {...panel(1), range: [0, Math.min(4, 1.05 * farthest)], dtick: farthest > 1.5 ? 1 : 0.5}, yaxis5: panel(2),
  shapes: [...bands, ...promotions, limit], annotations: [...headings, ...silent],
}, {responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"]});
