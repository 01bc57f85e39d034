export function EventsView() {
  return null
}
