// The page answers a form. Reloading it, or coming back to it, asks for the page again and sends nothing twice.
history.replaceState(null, "", document.documentElement.dataset.here);
