// Draws what a version goes by: the importance of its features, and how its predictions follow the first of them.
{
  const place = document.getElementById("explanation");
  const probe = document.body.appendChild(document.createElement("i"));
  const colour = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  // Features beyond these hardly matter.
  const most = 20;
  const say = text => place.replaceChildren(Object.assign(document.createElement("p"), {className: "soft", textContent: text}));
  const axis = more => ({gridcolor: colour("grid"), zeroline: false, fixedrange: true, automargin: true, ...more});
  const draw = (kind, trace, layout) => {
    const part = place.appendChild(Object.assign(document.createElement("div"), {className: kind}));
    const font = {family: "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", size: 12, color: colour("ink")};
    Plotly.newPlot(part, [trace], {paper_bgcolor: "rgba(0, 0, 0, 0)", plot_bgcolor: "rgba(0, 0, 0, 0)", font, showlegend: false,
      hoverlabel: {bgcolor: colour("paper"), bordercolor: colour("line"), font}, ...layout}, {responsive: true, displayModeBar: false});
  };
  const show = told => {
    if (told.trouble) return say(`It cannot be told: ${told.trouble}`);
    place.replaceChildren();
    const bars = told.features.slice(0, most).reverse();
    draw("importance", {type: "bar", orientation: "h", x: bars.map(one => one.importance), y: bars.map(one => one.name),
      error_x: {array: bars.map(one => one.spread), color: colour("soft"), thickness: 1}, marker: {color: colour("blue")}},
    {height: 60 + 24 * bars.length, margin: {t: 8, b: 40, l: 8, r: 16}, yaxis: axis({type: "category"}),
      xaxis: axis({title: {text: `growth of ${told.metric} (${told.value.toPrecision(4)} as it is)`}})});
    for (const one of told.features.filter(one => one.dependence.length)) {
      const numbers = one.values.every(value => typeof value === "number");
      const values = numbers ? one.values : one.values.map(String);
      draw("dependence", {type: "scatter", mode: numbers ? "lines+markers" : "markers", x: values, y: one.dependence,
        line: {color: colour("blue"), width: 1.5}, marker: {color: colour("blue"), size: 6}},
      {height: 190, margin: {t: 30, b: 36, l: 8, r: 8}, title: {text: one.name, font: {size: 12}, x: 0.02, xanchor: "left"},
        xaxis: axis({type: numbers ? "linear" : "category"}), yaxis: axis({})});
    }
  };
  fetch(place.dataset.source)
    .then(answer => answer.ok ? answer.json() : Promise.reject(new Error(`the answer was ${answer.status}`)))
    .then(show)
    .catch(error => say(`It cannot be told: ${error.message}`));
}
