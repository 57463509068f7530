// The only file that knows the chart library. It draws lines, areas, grid and value labels; the reading of a point
// (pointer or arrow keys), the tooltip and the names along the time axis are drawn here on top of it.

const TIP_WIDTH = 214;
const SPACE_PER_NAME = 96;
const SPACE_PER_SHORT_NAME = 64;
const NARROW = 480;

export async function create(host, library, data, page, opens) {
  const { default: ApexCharts } = await import(new URL(library, document.baseURI).href);
  const plot = add(host, 'chart-plot');
  const names = add(host, 'chart-names');
  const cursor = add(host, 'chart-cursor');
  const dot = add(host, 'chart-dot');
  const dotBefore = add(host, 'chart-dot before');
  const running = add(host, 'chart-running');
  const unknown = add(host, 'chart-unknown');
  const tip = add(host, 'chart-tip');
  let shown = null;

  const chart = new ApexCharts(plot, options(data, host));
  await chart.render();
  host.dataset.ready = 'true';
  layOut();

  // A frame or a redraw that was asked for may come when the page has been left.
  let gone = false;
  const redraw = async () => {
    if (gone) return;
    try {
      await chart.updateOptions(options(data, host), false, false);
      if (!gone) layOut();
    } catch (failure) {
      if (!gone) throw failure;
    }
  };
  const resized = onNextFrame(redraw);
  const sizes = new ResizeObserver(onChange(() => `${host.clientWidth} ${host.clientHeight}`, resized));
  sizes.observe(host);
  const themes = new MutationObserver(redraw);
  themes.observe(document.documentElement, { attributeFilter: ['data-theme'] });

  host.addEventListener('pointermove', e => show(nearest(e.clientX - host.getBoundingClientRect().left)));
  host.addEventListener('click', e => { if (e.pointerType !== 'touch') open(nearest(e.clientX - host.getBoundingClientRect().left)); });
  host.addEventListener('pointerleave', () => { if (document.activeElement !== host) hide(); });
  host.addEventListener('focus', () => { if (host.matches(':focus-visible')) show(shown ?? data.points.length - 1); });
  host.addEventListener('blur', hide);
  host.addEventListener('keydown', e => {
    const last = data.points.length - 1;
    const target = { ArrowLeft: (shown ?? last) - 1, ArrowRight: (shown ?? -1) + 1, Home: 0, End: last }[e.key];
    if (e.key === 'Escape') hide();
    if (e.key === 'Enter' && shown !== null) open(shown);
    if (target === undefined) return;
    e.preventDefault();
    e.stopPropagation();
    show(Math.min(Math.max(target, 0), last));
  });

  function show(i) {
    if (i === null || !data.points[i]) return;
    shown = i;
    const point = data.points[i];
    const area = grid();
    const x = area.left + area.width * share(i);
    place(cursor, x, area.top, area.height);
    placeDot(dot, x, point.value);
    placeDot(dotBefore, x, point.before?.value);
    fillTip(point);
    tip.style.left = `${x + 14 + TIP_WIDTH > host.clientWidth ? Math.max(0, x - 14 - TIP_WIDTH) : x + 14}px`;
    tip.style.top = `${area.top + 4}px`;
    host.dataset.reading = 'true';
    host.setAttribute('aria-valuenow', i + 1);
    host.setAttribute('aria-valuetext', spoken(point));
  }

  // On a touch screen the first touch only reads the point.
  function open(i) {
    if (page && i !== null && data.points[i]?.value !== null) page.invokeMethodAsync('Opened', i);
  }

  function hide() {
    shown = null;
    delete host.dataset.reading;
  }

  function fillTip(point) {
    tip.replaceChildren();
    const head = add(tip, 'chart-tip-head');
    text(head, 'b', point.name);
    if (point.before) {
      text(head, 'span', `vs ${point.before.name}`);
      text(head, 'em', point.before.change).className = `change ${point.before.tone}`;
    }
    row(data.name, point.text, 'key');
    if (point.before) row('Before', point.before.text, 'key before');
    if (data.lastIsRunning && point === data.points.at(-1)) text(tip, 'p', 'Still running.');
    if (page && opens && point.value !== null) text(tip, 'p', `Enter opens ${opens}`);
  }

  function row(name, value, key) {
    const line = add(tip, 'chart-tip-row');
    add(line, key);
    text(line, 'span', name);
    text(line, 'b', value);
  }

  function spoken(point) {
    return [point.name, point.text, point.before && `compared with ${point.before.text} on ${point.before.name}, ${point.before.change}`].filter(Boolean).join(', ');
  }

  function layOut() {
    const area = grid();
    const narrow = area.width < NARROW;
    const every = Math.max(1, Math.ceil(data.points.length / Math.max(1, Math.floor(area.width / (narrow ? SPACE_PER_SHORT_NAME : SPACE_PER_NAME)))));
    const step = every > 1 ? Math.ceil(every / data.rhythm) * data.rhythm : 1;
    names.replaceChildren();
    let end = -Infinity;
    data.points.forEach((point, i) => {
      if (i % step) return;
      const name = text(names, 'span', narrow ? point.shortAxisName : point.axisName);
      const x = area.left + area.width * share(i);
      const centred = i > 0 || data.points.length === 1;
      const left = Math.min(centred ? x - name.offsetWidth / 2 : x, host.clientWidth - name.offsetWidth);
      name.style.left = `${left}px`;
      if (left < end + 12) name.remove();
      else end = left + name.offsetWidth;
    });
    names.style.top = `${area.top + area.height + 8}px`;
    unknown.hidden = !data.unknown;
    if (data.unknown) {
      place(unknown, area.left, area.top, area.height);
      unknown.style.width = `${area.width * Math.min(1, data.unknown / Math.max(1, data.points.length - 1))}px`;
      unknown.replaceChildren();
      text(unknown, 'span', data.unknownText);
    }
    running.hidden = true;
    if (data.lastIsRunning && data.points.length > 1) placeDot(running, area.left + area.width, data.points.at(-1).value);
    if (shown !== null) show(Math.min(shown, data.points.length - 1));
  }

  function nearest(x) {
    const area = grid();
    const i = data.points.length === 1 ? 0 : Math.round((x - area.left) / area.width * (data.points.length - 1));
    return i < 0 || i >= data.points.length ? null : i;
  }

  function placeDot(element, x, value) {
    element.hidden = value === null || value === undefined;
    if (element.hidden) return;
    const { min, max } = data.axis;
    const area = grid();
    element.style.left = `${x}px`;
    element.style.top = `${area.top + area.height * (max - value) / (max - min)}px`;
  }

  function share(i) {
    return data.points.length === 1 ? 0.5 : i / (data.points.length - 1);
  }

  function grid() {
    const g = chart.w.globals;
    return { left: g.translateX, top: g.translateY, width: g.gridWidth, height: g.gridHeight };
  }

  return {
    update: next => {
      data = next;
      redraw();
    },
    destroy: () => {
      gone = true;
      sizes.disconnect();
      themes.disconnect();
      chart.destroy();
    },
  };
}

function options(data, host) {
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue(name).trim();
  const single = data.points.length === 1;
  const compared = data.points.some(p => p.before);
  const last = data.points.length - 1;
  const dotted = data.lastIsRunning && !single;
  // The running day is a line of its own, from the last whole point to it.
  const line = (name, y) => ({ name, data: data.points.map((p, x) => ({ x, y: y(p, x) })) });
  const series = [line(data.name, (p, x) => dotted && x === last ? null : p.value)];
  series.push(line('Running', (p, x) => dotted && x >= last - 1 ? p.value : null));
  if (compared) series.push(line('Before', p => p.before?.value ?? null));
  return {
    series,
    chart: {
      type: 'area', height: host.clientHeight - 24, width: '100%', fontFamily: 'inherit', background: 'transparent',
      animations: { enabled: false }, toolbar: { show: false }, zoom: { enabled: false }, selection: { enabled: false },
      redrawOnParentResize: false, redrawOnWindowResize: false, parentHeightOffset: 0,
    },
    colors: [colour('--accent'), colour('--accent'), colour('--compare')],
    stroke: { curve: 'straight', width: [2, 2, 1.5], dashArray: [0, '1 5', 4], lineCap: 'round' },
    fill: { type: 'solid', opacity: [0.09, 0, 0] },
    markers: { size: single ? 4 : 0, strokeWidth: 0, hover: { sizeOffset: 0 }, discrete: lonely(series[0].data, colour('--accent')) },
    dataLabels: { enabled: false },
    legend: { show: false },
    tooltip: { enabled: false },
    states: { hover: { filter: { type: 'none' } }, active: { filter: { type: 'none' } } },
    grid: { borderColor: colour('--grid'), strokeDashArray: 0, padding: { left: 6, right: 8, top: -12, bottom: -6 } },
    xaxis: {
      type: 'numeric', min: single ? -0.5 : 0, max: single ? 0.5 : data.points.length - 1,
      labels: { show: false }, axisTicks: { show: false }, axisBorder: { show: true, color: colour('--line-strong') },
      tooltip: { enabled: false }, crosshairs: { show: false },
    },
    yaxis: {
      min: data.axis.min, max: data.axis.max, tickAmount: Math.round((data.axis.max - data.axis.min) / data.axis.step), forceNiceScale: false,
      labels: {
        style: { colors: colour('--ink-3'), fontSize: '12px' }, offsetX: -8,
        formatter: value => data.lineTexts[Math.round((value - data.axis.min) / data.axis.step)] ?? '',
      },
    },
  };
}

// A point between two gaps has no line to be seen on.
function lonely(points, fillColor) {
  return points.filter((p, i) => p.y !== null && (points[i - 1]?.y ?? null) === null && (points[i + 1]?.y ?? null) === null)
    .map(p => ({ seriesIndex: 0, dataPointIndex: p.x, fillColor, strokeColor: fillColor, size: 3 }));
}

function add(parent, className) {
  const element = parent.appendChild(document.createElement(className.startsWith('key') ? 'i' : 'div'));
  element.className = className;
  element.setAttribute('aria-hidden', 'true');
  return element;
}

function text(parent, tag, content) {
  const element = parent.appendChild(document.createElement(tag));
  element.textContent = content;
  return element;
}

function place(element, x, top, height) {
  element.style.left = `${x}px`;
  element.style.top = `${top}px`;
  element.style.height = `${height}px`;
}

function onNextFrame(action) {
  let asked = 0;
  return () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(action);
  };
}

function onChange(read, action) {
  let before = read();
  return () => {
    const now = read();
    if (now === before) return;
    before = now;
    action();
  };
}
