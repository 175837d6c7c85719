// The layered template of the CC0 body.
#pragma once
#include "layeravatar/people/cc0_body.h"
#include "layeravatar/templates/surface_template.h"

namespace layeravatar::data {

/// Body with a fine head; hair over scalp, neck and upper trunk; shoes to below the knee; bottom from above the waist
/// to the ankles; top from the neck over the hips, arms included.
templates::LayeredTemplate cc0_template(const people::Cc0Body& body);
/// The same with its texture triangles.
templates::SurfaceTemplate cc0_surface_template(const people::Cc0Body& body);

}  // namespace layeravatar::data
