//! What is inside each scope of a graph, found once: a graph may have as many blocks as nodes.

use corn_plan::IdVec;

use crate::graph::{Graph, NodeId, NodeKind, ScopeId};

/// The nodes of each scope.
pub(crate) struct Scopes {
    of: IdVec<ScopeId, Scope>,
    /// The nodes that are in no scope, in order.
    outside: Vec<NodeId>,
}

#[derive(Default)]
struct Scope {
    /// Nodes directly in it, in order.
    nodes: Vec<NodeId>,
    /// The scopes directly in it.
    inner: Vec<ScopeId>,
    /// Where a round begins and the loop ends, if it is a loop's body.
    enter: Option<NodeId>,
    end: Option<NodeId>,
}

impl Scopes {
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut of: IdVec<ScopeId, Scope> = graph.scopes.iter().map(|_| Scope::default()).collect();
        for (id, around) in graph.scopes.enumerate() {
            if let Some(around) = around {
                of[*around].inner.push(id);
            }
        }
        let mut outside = Vec::new();
        for (id, node) in graph.nodes.enumerate() {
            match node.scope {
                Some(scope) => of[scope].nodes.push(id),
                None => outside.push(id),
            }
            match node.kind {
                NodeKind::Enter { scope, .. } => of[scope].enter = Some(id),
                NodeKind::Loop { scope, .. } => of[scope].end = Some(id),
                _ => {}
            }
        }
        Self { of, outside }
    }

    /// The nodes directly in `scope`, in order.
    pub(crate) fn directly(&self, scope: Option<ScopeId>) -> &[NodeId] {
        scope.map_or(&self.outside, |scope| &self.of[scope].nodes)
    }

    /// All nodes in `scope` and in those inside it, in order.
    pub(crate) fn within(&self, scope: ScopeId) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        let mut left = vec![scope];
        while let Some(scope) = left.pop() {
            nodes.extend_from_slice(&self.of[scope].nodes);
            left.extend_from_slice(&self.of[scope].inner);
        }
        nodes.sort_unstable();
        nodes
    }

    /// The node that begins the rounds of the loop with this body.
    pub(crate) fn enter(&self, body: ScopeId) -> Option<NodeId> {
        self.of[body].enter
    }

    /// The node that ends the loop with this body.
    pub(crate) fn end(&self, body: ScopeId) -> Option<NodeId> {
        self.of[body].end
    }
}
