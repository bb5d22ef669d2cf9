// Airflow shows these pages in a frame that may open no tab. Airflow's own page may, and is of the same origin: a link
// that wants a tab is followed from there.
if (parent !== window) {
  document.documentElement.dataset.framed = "";
  addEventListener("click", event => {
    const link = event.target.closest('a[target="_blank"]');
    if (!link) return;
    const outside = Object.assign(parent.document.createElement("a"), {href: link.href, target: "_blank", rel: "noopener"});
    parent.document.body.append(outside);
    outside.click();
    outside.remove();
    event.preventDefault();
  });
}
