// On a narrow screen the sidebar lies over the page: whoever has just come to a page sees the page.
const NARROW = window.matchMedia("(max-width: 768px)") // where Streamlit lays it over

let shown

export default function ({ data }) {
  if (shown === data.place) return
  shown = data.place
  if (!NARROW.matches) return
  const sidebar = document.querySelector('[data-testid="stSidebar"][data-collapsed="false"]')
  sidebar?.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click()
}
