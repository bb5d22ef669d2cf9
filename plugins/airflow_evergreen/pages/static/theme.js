// Airflow keeps the colours that a person has chosen in the browser; these pages follow it.
const follow = () => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // A browser that keeps nothing: the system's colours hold.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
};
follow();
addEventListener("storage", follow);
