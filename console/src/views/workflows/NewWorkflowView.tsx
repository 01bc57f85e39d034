export function NewWorkflowView() {
  return null
}
