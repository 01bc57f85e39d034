export function OperationsView() {
  return null
}
