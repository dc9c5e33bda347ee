(function(){
'use strict';
var began=performance.now(),root=document.documentElement;
addEventListener('error',function(e){root.setAttribute('data-error',String(e.message))});
var D=JSON.parse(document.getElementById('drawing').textContent),svg=document.getElementById('chart');
var L=D.left,R=12,end=D.end,view=[0,end],NS=svg.namespaceURI;
var bands=Array.prototype.map.call(svg.querySelectorAll('.b'),function(e){
return{e:e,a:+e.dataset.a,b:+e.dataset.b,l:e.dataset.l,s:e.dataset.s,y:+e.getAttribute('y'),h:+e.getAttribute('height'),
k:e.classList.contains('k'),f:e.classList.contains('fault')||e.classList.contains('done')}});
var rows={};
for(var j=bands.length-1;j>=0;j--)if(bands[j].f){bands[j].n=rows[bands[j].y];rows[bands[j].y]=bands[j]}
var marks=Array.prototype.map.call(svg.querySelectorAll('.m'),function(e){return{e:e,a:+e.dataset.a}});
var lanes=svg.querySelectorAll('.lane'),labels=document.getElementById('labels'),axis=document.getElementById('axis');
var H=+svg.getAttribute('height'),W=0,out=document.getElementById('at');
function make(name,at,text){var e=document.createElementNS(NS,name);for(var k in at)e.setAttribute(k,at[k]);if(text!==undefined)e.textContent=text;return e}
function said(us,step){var d=step>=1e6?0:step>=1e5?1:step>=1e4?2:step>=1e3?3:6;return(us/1e6).toFixed(d)+' s'}
function layout(){
var ends={},plot=W-L-R,scale=plot/(view[1]-view[0]),i,b,frag=document.createDocumentFragment();
for(i=0;i<bands.length;i++){b=bands[i];
var x0=L+(b.a-view[0])*scale,x1=L+(b.b-view[0])*scale;
if(x1<L||x0>L+plot){b.e.style.display='none';continue}
b.e.style.display='';
var c0=Math.max(x0,L),c1=Math.min(x1,L+plot),w=Math.max(c1-c0,.8);
b.e.setAttribute('x',c0.toFixed(2));b.e.setAttribute('width',w.toFixed(2));
if(b.h<16)continue;
var t=b.l,tx=c0+3;
if(b.f){
// The words of a fault end where the next one of its row begins; the last one's may begin earlier.
var n=b.n,x2=n?Math.max(tx,L+(n.a-view[0])*scale):L+plot,need=t.length*6.2+2;
if(!n)tx=Math.max(ends[b.y]||L,Math.min(tx,x2-need));
var room=Math.floor((x2-tx-2)/6.2);
if(room<t.length)t=room<4?'':t.slice(0,room-1)+'…';
ends[b.y]=tx+t.length*6.2+4}
else t=w>t.length*6+6?t:w>b.s.length*6+4?b.s:'';
if(t){frag.appendChild(make('text',{'class':'l'+(b.k?' k':'')+(b.f?' f':''),x:tx.toFixed(2),y:b.y+12},t))}}
for(i=0;i<marks.length;i++){b=marks[i];var x=L+(b.a-view[0])*scale;
b.e.style.display=x<L||x>L+plot?'none':'';b.e.setAttribute('x1',x.toFixed(2));b.e.setAttribute('x2',x.toFixed(2))}
for(i=0;i<lanes.length;i++)lanes[i].setAttribute('width',plot);
labels.textContent='';labels.appendChild(frag);
var most=Math.max(3,Math.floor(plot/100)),span=view[1]-view[0],step=1,f=[2,2.5,2],n=0;
while(span/step>most)step*=f[n++%3];
axis.textContent='';
for(var v=Math.ceil(view[0]/step)*step;v<=view[1];v+=step){x=(L+(v-view[0])*scale).toFixed(2);
axis.appendChild(make('line',{'class':'t',x1:x,x2:x,y1:16,y2:H}));axis.appendChild(make('text',x>W-30?{x:W-4,y:12,style:'text-anchor:end'}:{x:x,y:12},said(v,step)))}
}
function fit(){var w=Math.max(560,svg.parentNode.clientWidth);if(w===W)return;W=w;
svg.setAttribute('width',W);svg.setAttribute('viewBox','0 0 '+W+' '+H);layout()}
function show(a,b){var w=Math.min(end,Math.max(b-a,20));a=Math.min(Math.max(0,a),end-w);view=[a,a+w];layout()}
function zoom(by,at){var w=(view[1]-view[0])*by;if(at===undefined)at=(view[0]+view[1])/2;
var part=(at-view[0])/(view[1]-view[0]);show(at-w*part,at-w*part+w)}
function key(k){var w=view[1]-view[0],d=svg.dataset.d;
if(k==='+'||k==='=')zoom(.5);else if(k==='-')zoom(2);
else if(k==='ArrowLeft')show(view[0]-w/4,view[1]-w/4);else if(k==='ArrowRight')show(view[0]+w/4,view[1]+w/4);
else if(k==='0')show(0,end);else if(k==='d'&&d){w=Math.min(w/2,end/8);show(+d-w/2,+d+w/2)}else return false;
return true}
function when(e){var r=svg.getBoundingClientRect(),x=(e.clientX-r.left)*W/r.width;
return view[0]+(Math.min(Math.max(x,L),W-R)-L)*(view[1]-view[0])/(W-L-R)}
svg.addEventListener('keydown',function(e){if(!e.ctrlKey&&!e.metaKey&&!e.altKey&&key(e.key))e.preventDefault()});
document.getElementById('keys').addEventListener('click',function(e){var k=e.target.dataset&&e.target.dataset.k;if(k)key(k)});
svg.addEventListener('wheel',function(e){if(!e.ctrlKey&&!e.metaKey)return;e.preventDefault();zoom(e.deltaY<0?.8:1.25,when(e))},{passive:false});
svg.addEventListener('dblclick',function(){show(0,end)});
var from=null,box=null;
svg.addEventListener('pointerdown',function(e){if(e.button!==0)return;from=when(e);svg.focus({preventScroll:true});svg.setPointerCapture(e.pointerId)});
svg.addEventListener('pointermove',function(e){var t=when(e);out.textContent='t = '+(t/1e6).toFixed(6)+' s';
if(from===null)return;if(!box)box=svg.appendChild(make('rect',{'class':'select',y:16,height:H-16}));
var s=(W-L-R)/(view[1]-view[0]),a=Math.min(from,t),b=Math.max(from,t);
box.setAttribute('x',L+(a-view[0])*s);box.setAttribute('width',(b-a)*s)});
svg.addEventListener('pointerup',function(e){if(from===null)return;var a=from,b=when(e),s=(W-L-R)/(view[1]-view[0]);from=null;
if(box){box.remove();box=null}if(Math.abs(b-a)*s>6)show(Math.min(a,b),Math.max(a,b))});
svg.addEventListener('pointercancel',function(){from=null;if(box){box.remove();box=null}});
document.getElementById('keys').hidden=false;
if(!svg.dataset.d)document.querySelector('[data-k=d]').hidden=true;
addEventListener('resize',fit);
fit();
root.setAttribute('data-drawn','lanes='+lanes.length+' bands='+bands.length+' marks='+marks.length);
root.setAttribute('data-draw-ms',(performance.now()-began).toFixed(1));
})();
