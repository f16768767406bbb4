//! The ids of this component's things.

use chassis_values::typed_id;

typed_id! {
    /// A todo.
    pub struct TodoId = "todo";
}
