// Streamlit says where a link leads in two steps: first what is asked for, at the old page's path,
// and then the path. Back would lead to the old page, asked for what only the new one knows.
const SOON = 1000 // milliseconds, in which nobody goes on by hand

export default function () {
  if (window.emailSenderWayBack) return
  window.emailSenderWayBack = true
  const push = history.pushState
  let between = null
  history.pushState = function (state, title, url) {
    const { pathname, search } = new URL(url, location.href)
    const moves = pathname !== location.pathname
    if (moves && between?.search === search && performance.now() - between.at < SOON) {
      between = null
      history.replaceState(state, title, url)
      return
    }
    between = moves ? null : { search, at: performance.now() }
    push.call(history, state, title, url)
  }
}
