// Sets the theme that the reader chose, before anything is painted. Not a module: modules run later.
try {
  const theme = localStorage.getItem("uptake-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, the theme is that of the system.
}
