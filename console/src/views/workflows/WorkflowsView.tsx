export function WorkflowsView() {
  return null
}
