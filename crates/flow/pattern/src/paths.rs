//! The names that rules look at, as a tree: what is not in it, the scanner passes over.
//!
//! Names are compared as they are, step by step; `a.b` is one name with a dot in it, not two steps. (event-ruler joins
//! names with dots and so cannot tell the two apart; its README calls that unreliable.)

use crate::condition::Condition;
use crate::index::Index;
use crate::names::Names;
use crate::slab::Slab;

/// The outermost object.
pub(crate) const ROOT: usize = 0;

/// A place in events that some rule looks at, or passes through.
#[derive(Clone, Debug)]
pub(crate) struct PathNode {
    pub(crate) parent: usize,
    /// Steps from the root.
    pub(crate) depth: usize,
    name: Box<str>,
    children: Names<usize>,
    /// How many conditions test the leaves here.
    conditions: usize,
    /// `None` while it leads nowhere.
    pub(crate) index: Option<Box<Index>>,
}

/// The tree.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    nodes: Slab<PathNode>,
}

impl Paths {
    pub(crate) fn new() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(PathNode::new(ROOT, 0, ""));
        Self { nodes }
    }

    #[inline]
    pub(crate) fn get(&self, node: usize) -> Option<&PathNode> {
        self.nodes.get(node)
    }

    /// Changes a node's index.
    pub(crate) fn change_index(&mut self, node: usize, condition: &Condition, clause: usize, add: bool) {
        let Some(node) = self.nodes.get_mut(node) else { return };
        let mut index = node.index.take().unwrap_or_default();
        index.change(condition, clause, add);
        node.index = (!index.is_empty()).then_some(index);
    }

    /// Above every number of a node.
    pub(crate) fn end(&self) -> usize {
        self.nodes.end()
    }

    /// The node of a path, made if need be.
    pub(crate) fn reach(&mut self, path: &[Box<str>]) -> usize {
        let mut at = ROOT;
        for (depth, name) in path.iter().enumerate() {
            let known = self.nodes.get(at).and_then(|node| node.children.get(name).copied());
            at = known.unwrap_or_else(|| {
                let child = self.nodes.insert(PathNode::new(at, depth + 1, name));
                if let Some(node) = self.nodes.get_mut(at) {
                    node.children.insert(name, child);
                }
                child
            });
        }
        at
    }

    /// One condition more tests the leaves at a node.
    pub(crate) fn retain(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.conditions += 1;
        }
    }

    /// One condition less; what nothing looks at any more is taken out.
    pub(crate) fn release(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.conditions = node.conditions.saturating_sub(1);
        }
        let mut at = node;
        while at != ROOT && self.nodes.get(at).is_some_and(|node| !node.is_tested() && !node.is_passed()) {
            let Some(gone) = self.nodes.remove(at) else { return };
            at = gone.parent;
            if let Some(parent) = self.nodes.get_mut(at) {
                parent.children.remove(&gone.name);
            }
        }
    }
}

impl PathNode {
    fn new(parent: usize, depth: usize, name: &str) -> Self {
        Self { parent, depth, name: name.into(), children: Names::default(), conditions: 0, index: None }
    }

    /// Whether some condition tests the leaves here.
    #[inline]
    pub(crate) fn is_tested(&self) -> bool {
        self.conditions > 0
    }

    /// Whether some path goes on from here.
    #[inline]
    pub(crate) fn is_passed(&self) -> bool {
        !self.children.is_empty()
    }

    #[inline]
    pub(crate) fn child(&self, name: &str) -> Option<usize> {
        self.children.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Box<str>> {
        text.split('/').map(Into::into).collect()
    }

    #[test]
    fn a_tree_grows_and_shrinks_with_its_paths() {
        let mut paths = Paths::new();
        let names: Vec<String> = (0..40).map(|n| format!("a/{n}/x")).collect();
        let nodes: Vec<usize> = names.iter().map(|name| paths.reach(&path(name))).collect();
        nodes.iter().for_each(|node| paths.retain(*node));
        let a = paths.get(ROOT).unwrap().child("a").unwrap();
        for (n, node) in nodes.iter().enumerate() {
            assert_eq!(paths.reach(&path(&names[n])), *node);
            let middle = paths.get(a).unwrap().child(&n.to_string()).unwrap();
            assert_eq!(paths.get(middle).unwrap().child("x"), Some(*node));
            assert_eq!(paths.get(*node).unwrap().depth, 3);
        }
        assert_eq!(paths.get(a).unwrap().child("40"), None);
        let end = paths.end();
        nodes.iter().for_each(|node| paths.release(*node));
        assert!(!paths.get(ROOT).unwrap().is_passed());
        let again: Vec<usize> = nodes.iter().map(|_| paths.reach(&path("b/c"))).collect();
        assert!(again.iter().all(|node| *node == again[0]));
        assert_eq!(paths.end(), end, "places are used again");
    }
}
