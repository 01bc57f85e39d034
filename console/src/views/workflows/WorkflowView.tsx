export function WorkflowView() {
  return null
}
