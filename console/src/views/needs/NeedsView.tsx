export function NeedsView() {
  return null
}
